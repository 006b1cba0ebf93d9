# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How it works: everything lands in $(O) (build/). bpf/NAME.bpf.c becomes an object, the object a skeleton header,
# which one file of user/ includes; all of user/ but main.c becomes libnsroute.a, which the program and the tests link;
# what only tests need is in tests/tests.mk. Sources and tests are found by wildcard. `check`, `demo` and the rings first
# run tools/deps (nothing when nothing is missing) and then build in a second make, after pkg-config can find all.
#
# Variables: CC (gcc or clang), CLANG (for BPF), O (output folder), WERROR= (warnings do not stop),
# SANITIZE=1 (address and undefined behaviour), V=1 (show commands), PREFIX, DESTDIR, KERNEL_RUNNER,
# FUZZ_SECONDS, LONG_TIME_LIMIT (seconds that a file tests/net/long_*.bats may take).

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
O ?= build$(if $(SANITIZE),/asan)$(if $(FUZZER),/fuzz)
PREFIX ?= /usr/local
WERROR ?= -Werror
KERNEL_RUNNER ?= tools/kernel-run
FUZZ_SECONDS ?= 60
LONG_TIME_LIMIT ?= 5400
Q := $(if $(V),,@)
export NSROUTE = $(abspath $(O)/nsroute)
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

PACKAGES := libbpf libmnl yaml-0.1 jansson
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)

comma := ,
SANITIZERS := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
SANITIZERS += $(if $(FUZZER),-fsanitize=fuzzer-no-link$(comma)address$(comma)undefined)
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	$(WERROR) $(SANITIZERS) $(if $(strip $(SANITIZERS)),-fno-omit-frame-pointer)
override CPPFLAGS += -D_GNU_SOURCE -DNSROUTE_VERSION='"$(VERSION)"' -Iinclude -Iuser -isystem $(O) \
	$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lelf -lz
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra $(WERROR) -Iinclude \
	$(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH))

USER := $(wildcard user/*.c)
LIBRARY_OBJECTS := $(patsubst %.c,$(O)/%.o,$(filter-out user/main.c,$(USER)))
LIBRARY := $(O)/libnsroute.a
SKELETONS := $(patsubst bpf/%.bpf.c,$(O)/%.skel.h,$(wildcard bpf/*.bpf.c))

# A ring's programs are tests/RING/test_*.c; its other .c files are helpers that each of them links.
programs = $(patsubst %.c,$(O)/%,$(wildcard tests/$(1)/$(2)_*.c))
helpers = $(patsubst %.c,$(O)/%.o,$(filter-out tests/$(1)/$(2)_%.c,$(wildcard tests/$(1)/*.c)))
UNIT_TESTS := $(call programs,unit,test)
LONG_BPF_TESTS := $(filter %_meetings %_million,$(call programs,bpf,test))
BPF_TESTS := $(filter-out $(LONG_BPF_TESTS),$(call programs,bpf,test))
NET_TESTS := $(call programs,net,test)
FUZZERS := $(call programs,fuzz,fuzz)
TESTS := $(UNIT_TESTS) $(BPF_TESTS) $(NET_TESTS)
LONG_BATS := $(wildcard tests/net/long_*.bats)
BATS := $(filter-out $(LONG_BATS),$(wildcard tests/net/*.bats))
include tests/tests.mk

# A second make, on all CPUs unless the caller chose the number of jobs.
BUILD = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc)) O=$(O)
RUN_TESTS := tools/with-bpffs tools/run-tests

.PHONY: all tests demo check check-unit check-bpf check-net check-net-long check-kernels check-long \
	bench asan fuzz fuzzers format lint deps deps-long install clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(O)/nsroute ## build nsroute into build/ (the default)

tests: all $(TEST_BINARIES) $(BUDGETS) $(TESTS) $(LONG_BPF_TESTS)
fuzzers: $(FUZZERS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "%-22s %s\n", $$1, $$2 }' Makefile

# ---- What users type
demo: ## an example fabric: built, used, measured, removed (needs root)
	@tools/deps
	@tools/with-bpffs tools/preflight
	@$(BUILD) all
	@tools/with-bpffs tools/demo

check: ## all tests; the last line is "N passed, N failed, N skipped"
	@tools/deps
	@$(BUILD) tests
	@$(RUN_TESTS) $(BATS) $(TESTS) tools/budgets # the long ones first: short ones fill the end

check-unit: ## tests that need no privilege
	@tools/deps
	@$(BUILD) $(UNIT_TESTS)
	@$(RUN_TESTS) $(UNIT_TESTS)

check-bpf: ## BPF programs on built packets (root)
	@tools/deps
	@$(BUILD) all $(BPF_TESTS)
	@$(RUN_TESTS) $(BPF_TESTS)

check-net: ## fabrics in scratch namespaces (root)
	@tools/deps
	@$(BUILD) all $(TEST_BINARIES) $(NET_TESTS)
	@$(RUN_TESTS) $(NET_TESTS) $(BATS)

check-kernels: ## the BPF ring and traffic on kernels 6.1, 6.12 and the running one (root, deps-long)
	@$(BUILD) tests
	@KERNEL_RUNNER=$(KERNEL_RUNNER) tools/check-kernels $(BPF_TESTS) $(wildcard tests/net/*traffic*.bats) \
		tests/net/uplinks.bats tests/net/masquerade.bats

check-long: ## check, and all that takes long: long_*.bats, asan, fuzz, check-kernels
	@set -e; for target in check check-net-long asan fuzz check-kernels; do $(MAKE) $$target; done

check-net-long: ## what takes minutes: fabrics in scratch namespaces, and the races of the NAT (root)
	@tools/deps
	@$(BUILD) all $(TEST_BINARIES) $(LONG_BPF_TESTS)
	@TIME_LIMIT=$(LONG_TIME_LIMIT) $(RUN_TESTS) $(LONG_BPF_TESTS) $(LONG_BATS)

asan: ## all tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory SANITIZE=1 O=build/asan check

fuzz: ## run each fuzzer for FUZZ_SECONDS (clang, deps-long)
	@$(MAKE) --no-print-directory -j$(shell nproc) FUZZER=1 CC=$(CLANG) O=build/fuzz fuzzers
	@tools/run-fuzzers $(FUZZ_SECONDS) $(patsubst $(O)/%,build/fuzz/%,$(FUZZERS))

bench: all $(O)/nsloop $(O)/nlcount.so ## speed of packets; BENCH=tools/scale: of set-up (root)
	@tools/with-bpffs $(or $(BENCH),$(NSROUTE) bench)

format: ## clang-format every C file
	clang-format -i $(filter-out build/%,$(wildcard */*.[ch] tests/*/*.[ch]))

lint: $(SKELETONS) compile_commands.json build/nsroute ## style, layers, clang-tidy, shellcheck, spelling, SPDX tags
	@tools/lint

deps: ## install what building and testing need
	@tools/deps

deps-long: ## install what only lint, fuzz, check-kernels and long tests need
	@tools/deps --long

install: all ## into $(DESTDIR)$(PREFIX)
	install -D -m 755 $(O)/nsroute $(DESTDIR)$(PREFIX)/bin/nsroute
	install -d $(DESTDIR)$(PREFIX)/share/doc/nsroute/examples
	install -m 644 README.md docs/*.md LICENSES/* $(DESTDIR)$(PREFIX)/share/doc/nsroute
	install -m 644 examples/*.yaml $(DESTDIR)$(PREFIX)/share/doc/nsroute/examples
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system tools/system/nsroute@.service
	sed -i 's,@PREFIX@,$(PREFIX),' $(DESTDIR)$(PREFIX)/lib/systemd/system/nsroute@.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/network tools/system/10-nsroute.*
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/udev/rules.d tools/system/70-nsroute.rules

clean: ## remove what was built
	rm -rf build compile_commands.json

# ---- How things are built
$(LIBRARY): $(LIBRARY_OBJECTS)
	@echo "  AR      $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/version: FORCE
	@mkdir -p $(@D) && { echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@; }
$(O)/user/cmd_version.o: $(O)/version

$(O)/tests/%.o: override CPPFLAGS += -Ibpf -Itests
$(O)/%.o: %.c Makefile | $(SKELETONS)
	@echo "  CC      $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(O)/nsroute: $(O)/user/main.o $(LIBRARY)
$(UNIT_TESTS): $(O)/tests/unit/%: $(O)/tests/unit/%.o $(call helpers,unit,test) $(LIBRARY)
$(BPF_TESTS) $(LONG_BPF_TESTS): $(O)/tests/bpf/%: $(O)/tests/bpf/%.o $(call helpers,bpf,test) $(LIBRARY)
$(NET_TESTS): $(O)/tests/net/%: $(O)/tests/net/%.o $(call helpers,net,test) $(LIBRARY)
$(FUZZERS): $(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(call helpers,fuzz,fuzz) $(LIBRARY)

$(O)/nsloop: $(O)/tools/nsloop.o
$(O)/nlcount.so: $(O)/tools/nlcount.o
$(O)/nlcount.so: override CFLAGS += -shared -fPIC
$(TESTS) $(LONG_BPF_TESTS): LIBS += -lcmocka
$(FUZZERS): LIBS += -fsanitize=fuzzer
$(O)/nsroute $(TEST_BINARIES) $(O)/nsloop $(O)/nlcount.so $(TESTS) $(LONG_BPF_TESTS) $(FUZZERS):
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(O)/%.bpf.o: bpf/%.bpf.c Makefile
	@echo "  BPF     $@"
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

$(O)/%.skel.h: $(O)/%.bpf.o
	@echo "  SKEL    $@"
	$(Q)bpftool gen skeleton $< name $(*F)_bpf >$@

$(O)/user/datapath_object.o: $(O)/nsroute.skel.h
$(O)/user/datapath_trace.o $(O)/tests/bpf/test_trace.o: $(O)/trace.skel.h
$(O)/user/bench_frames.o: $(O)/bench.skel.h
compile_commands.json: export COMMAND = $(CC) $(CPPFLAGS) -Ibpf -Itests $(CFLAGS)
compile_commands.json: Makefile $(USER) ## for editors and clang-tidy
	@printf '%s\n' $(USER) $(wildcard tests/*/*.c) | jq -R --arg directory '$(CURDIR)' \
		'{$$directory, file: ., command: "\(env.COMMAND) -c \(.)"}' | jq -s . >$@

-include $(wildcard $(O)/*.d $(O)/*/*.d $(O)/tests/*/*.d)
