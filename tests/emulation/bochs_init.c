// SPDX-License-Identifier: Apache-2.0
//
// The first and only process of the machine that tests/emulation/bochs emulates: runs /program with the arguments of
// /arguments (a NUL behind each), and ends the machine. What the program writes goes to port 0xe9, which Bochs copies
// to its own output; a serial port would cost 1700 instructions a byte at 115200 baud.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char* text, size_t size) {
  for (size_t i = 0; i < size; ++i) outb((unsigned char)text[i], 0xe9);
}

static void run_program(void) {
  static char text[65536];
  static char* arguments[1024];
  FILE* file = fopen("/arguments", "r");
  const size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
  size_t count = 0;
  for (char* word = text; word < text + size && count + 1 < sizeof arguments / sizeof *arguments;
       word += strlen(word) + 1) {
    arguments[count++] = word;
  }
  setenv("LD_PRELOAD", "/vsib.so", 1);  // beside what the kernel's command line has put there
  execv("/program", arguments);
  perror("/program");
  _exit(127);
}

int main(void) {
  if (iopl(3) != 0) return 1;  // and the kernel panics: the first process has ended
  mount("proc", "/proc", "proc", 0, 0);
  mount("sysfs", "/sys", "sysfs", 0, 0);
  int output[2];
  if (pipe(output) != 0) return 1;
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) {
    dup2(output[1], 1);
    dup2(output[1], 2);
    run_program();
  }
  close(output[1]);
  static const char begin[] = "\nprogram begins\n";
  say(begin, sizeof begin - 1);
  char buffer[4096];
  ssize_t got;
  while ((got = read(output[0], buffer, sizeof buffer)) > 0) say(buffer, (size_t)got);
  int status = 0;
  waitpid(child, &status, 0);
  const int size = snprintf(buffer, sizeof buffer, "\nprogram ended: %d\n",
                            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  say(buffer, (size_t)size);
  for (const char* c = "Shutdown"; *c; ++c) outb((unsigned char)*c, 0x8900);  // Bochs: the power is off
  for (;;) pause();
}
