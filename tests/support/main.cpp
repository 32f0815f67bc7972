// SPDX-License-Identifier: Apache-2.0
//
// gtest's main, and one line at the end for each instruction set that could not be tested.

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "simdnorm/simdnorm.h"

namespace {

class skip_counter : public ::testing::EmptyTestEventListener {
  std::map<std::string, std::pair<int, std::string>> skipped_;
  std::map<std::string, int> run_;

  void OnTestEnd(const ::testing::TestInfo& test) override {
    const std::string name = test.name();
    const std::size_t slash = name.rfind('/');
    const std::string isa = slash == std::string::npos ? "any" : name.substr(slash + 1);
    if (!test.result()->Skipped()) {
      ++run_[isa];
      return;
    }
    auto& entry = skipped_[isa];
    ++entry.first;
    for (int i = 0; i < test.result()->total_part_count(); ++i) {
      const auto& part = test.result()->GetTestPartResult(i);
      if (part.skipped()) entry.second = part.message();
    }
  }
  void OnTestProgramEnd(const ::testing::UnitTest&) override {
    for (const auto& [isa, count] : run_) std::printf("ran: %s: %d tests\n", isa.c_str(), count);
    for (const auto& [isa, entry] : skipped_) {
      std::string reason = entry.second;
      while (!reason.empty() && reason.back() == '\n') reason.pop_back();
      std::printf("skipped: %s: %d tests, %s\n", isa.c_str(), entry.first, reason.c_str());
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new skip_counter);
  const int failed = RUN_ALL_TESTS();
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  // A filter that selects nothing is a mistake in the caller, not a success.
  if (all.test_to_run_count() == 0 && !::testing::GTEST_FLAG(list_tests)) return 2;
  // Everything skipped: ctest counts the entry as skipped (SKIP_RETURN_CODE), not as passed.
  if (!failed && all.test_to_run_count() > 0 && all.skipped_test_count() == all.test_to_run_count()) return 77;
  return failed;
}
