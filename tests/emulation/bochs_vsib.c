// SPDX-License-Identifier: Apache-2.0
//
// Preloaded under Bochs: does what Bochs 2.7 cannot. It takes a gather or a scatter whose index is in registers 16 to
// 31 for an invalid opcode (EVEX.V' counts as a bit of vvvv, which must be unused); the other gathers and scatters it
// knows. The handler of SIGILL does these element by element, in the registers that the kernel saved; any other SIGILL
// stays one. About 6 of the 46 gathers and scatters that GCC 12 makes of the kernels come here.

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

// Where the standard form of the XSAVE area has what.
enum { xmm = 160, xstate_bv = 512, ymm_high = 576, opmask = 1088, zmm_high = 1152, zmm16 = 1664 };

static void load_vector(const uint8_t* area, unsigned n, uint8_t* out) {
  if (n >= 16) {
    memcpy(out, area + zmm16 + 64 * (n - 16), 64);
    return;
  }
  memcpy(out, area + xmm + 16 * n, 16);
  memcpy(out + 16, area + ymm_high + 16 * n, 16);
  memcpy(out + 32, area + zmm_high + 32 * n, 32);
}

static void store_vector(uint8_t* area, unsigned n, const uint8_t* in) {
  if (n >= 16) {
    memcpy(area + zmm16 + 64 * (n - 16), in, 64);
    return;
  }
  memcpy(area + xmm + 16 * n, in, 16);
  memcpy(area + ymm_high + 16 * n, in + 16, 16);
  memcpy(area + zmm_high + 32 * n, in + 32, 32);
}

static const uint8_t general_register[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// The instruction's length, or 0: no gather or scatter with such an index.
static unsigned emulate(ucontext_t* context) {
  greg_t* const general = context->uc_mcontext.gregs;
  uint8_t* const area = (uint8_t*)context->uc_mcontext.fpregs;
  const uint8_t* const code = (const uint8_t*)general[REG_RIP];
  // EVEX, opcode map 0F38, prefix 66, no broadcast, no zeroing; V' set, that is, stored as 0.
  if (code[0] != 0x62 || (code[1] & 0x0f) != 2 || (code[2] & 0x7f) != 0x7d || (code[3] & 0x98) != 0) return 0;
  const int scatter = (code[4] & 0xfc) == 0xa0;
  if (!scatter && (code[4] & 0xfc) != 0x90) return 0;
  const uint8_t modrm = code[5], sib = code[6];
  const unsigned mod = modrm >> 6;
  if (mod == 3 || (modrm & 7) != 4 || (mod == 0 && (sib & 7) == 5)) return 0;

  const unsigned size = code[2] & 0x80 ? 8 : 4, index_size = code[4] & 1 ? 8 : 4;
  const unsigned width = 16u << (code[3] >> 5 & 3), count = width / (size > index_size ? size : index_size);
  const unsigned mask = code[3] & 7;
  const unsigned data = (modrm >> 3 & 7) | (code[1] & 0x80 ? 0 : 8) | (code[1] & 0x10 ? 0 : 16);
  const unsigned index = (sib >> 3 & 7) | (code[1] & 0x40 ? 0 : 8) | 16;
  uint8_t* base = (uint8_t*)general[general_register[(sib & 7) | (code[1] & 0x20 ? 0 : 8)]];
  unsigned length = 7;
  if (mod == 1) {
    base += (int8_t)code[length] * (int)size;
    length += 1;
  } else if (mod == 2) {
    int32_t displacement;
    memcpy(&displacement, code + length, 4);
    base += displacement;
    length += 4;
  }

  uint8_t vector[64], indices[64];
  load_vector(area, data, vector);
  load_vector(area, index, indices);
  uint64_t active;
  memcpy(&active, area + opmask + 8 * mask, 8);
  for (unsigned i = 0; i < count; ++i) {
    if (!(active >> i & 1)) continue;
    int64_t at = 0;
    if (index_size == 8) {
      memcpy(&at, indices + 8 * i, 8);
    } else {
      int32_t narrow;
      memcpy(&narrow, indices + 4 * i, 4);
      at = narrow;
    }
    uint8_t* const address = base + at * (1 << (sib >> 6));
    if (scatter) {
      memcpy(address, vector + size * i, size);
    } else {
      memcpy(vector + size * i, address, size);
    }
  }
  if (!scatter) {
    memset(vector + size * count, 0, 64 - size * count);
    store_vector(area, data, vector);
  }
  memset(area + opmask + 8 * mask, 0, 8);
  area[xstate_bv] |= 0xe6;  // none of these registers is to be set to zero instead
  return length;
}

static void on_invalid_opcode(int signal_number, siginfo_t* info, void* context) {
  (void)info;
  const unsigned length = emulate(context);
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP] += length;
  if (length == 0) signal(signal_number, SIG_DFL);  // and the instruction is tried again
}

__attribute__((constructor)) static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_invalid_opcode;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, 0);
}
