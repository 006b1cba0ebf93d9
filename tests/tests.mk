# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests.mk - binaries that only tests need; the Makefile includes it.
#
# How it works: nsroute-faults is nsroute that ends or fails at a chosen step (tests/fault/fault.c).
# The others are that with other BPF programs, for the tests of one binary that meets another's
# datapath: code that does the same, another layout, a table of another size. Some tests
# have programs of their own, that wait and fail when they are told to (tests/bpf/meetings.h).

BUDGETS := $(O)/tests/budget/budgets $(O)/nlcount.so
VARIANTS := code layout shape
VARIANT_code := -mllvm -disable-block-placement
VARIANT_layout := -DNSR_LAYOUT_VERSION=99
VARIANT_shape := -DNSR_SESSION_SET=131072
VARIANT_meetings := -Ibpf -Itests/bpf -include tests/bpf/meetings.bpf.h
TEST_BINARIES := $(O)/nsroute-faults $(VARIANTS:%=$(O)/nsroute-%)

.DEFAULT_GOAL := all

# fault.c stands in for the functions that it names.
$(TEST_BINARIES): LIBS += $(shell sed -nE \
	's/^(STEP_BPF.|(STEP|WRAP).[a-zA-Z_ *]+, )([a-z0-9_]+),.*/-Wl,--wrap=\3/p' tests/fault/fault.c)
$(O)/nsroute-faults: $(O)/user/main.o $(O)/tests/fault/fault.o $(LIBRARY)
$(VARIANTS:%=$(O)/nsroute-%): $(O)/nsroute-%: $(O)/user/main.o $(O)/tests/fault/fault.o \
	$(O)/variant/%/datapath_object.o $(LIBRARY)

$(O)/variant/%/nsroute.bpf.o: bpf/nsroute.bpf.c Makefile
	@echo "  BPF     $@"
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(VARIANT_$*) -MMD -MP -c $< -o $@

$(O)/variant/%/datapath_object.o: user/datapath_object.c $(O)/variant/%/nsroute.skel.h
	@echo "  CC      $@"
	$(Q)$(CC) -isystem $(@D) $(CPPFLAGS) $(filter -D%,$(VARIANT_$*)) $(CFLAGS) -MMD -MP -c $< -o $@

-include $(wildcard $(O)/variant/*/*.d)

$(O)/tests/bpf/test_trace.o: $(O)/trace.skel.h
$(filter %_meetings,$(LONG_BPF_TESTS)): $(O)/variant/meetings/datapath_object.o

# ---- Budgets: tests/budget/budgets.c.
$(O)/tests/budget/budgets: $(O)/tests/budget/budgets.o $(call helpers,bpf,test) $(LIBRARY)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -lcmocka -o $@

budgets: ## record what packets, programs and flows cost (root: what the kernel makes of them too)
	@$(BUILD) all $(BUDGETS)
	@tools/with-bpffs tools/budgets --update

check-budgets: ## compare what packets, programs and flows cost with tests/budgets.txt
	@$(BUILD) all $(BUDGETS)
	@tools/with-bpffs tools/budgets

.PHONY: budgets check-budgets
