# molrill. `make help` lists the targets. All products lie under build/.
.SUFFIXES:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

# SAN=1 builds with the sanitizers of addresses and of undefined behaviour, in a folder of its own.
B ?= $(if $(SAN),build/san,build)
VERSION := 0.1.0
PREFIX ?= /usr/local
PROGRAM_PREFIX ?=
PKG_CONFIG ?= pkg-config
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

# ---- flags ----
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers
OPTIM ?= -O2 -g
BASE := -ffp-contract=off -fno-omit-frame-pointer -D_GNU_SOURCE -DMOLRILL_VERSION='"$(VERSION)"' -Ilibcommon -Ikernels -Itools -I$(B)/gen
ifdef SAN
BASE += -fsanitize=address,undefined -fno-sanitize-recover=undefined -DMOLRILL_SAN
LDSAN := -fsanitize=address,undefined
endif
ALL_CFLAGS := -std=c11 $(OPTIM) $(WARN) -Wmissing-prototypes -Wstrict-prototypes $(BASE) $(CFLAGS)
ALL_CXXFLAGS := -std=c++17 $(OPTIM) $(WARN) $(BASE) $(CXXFLAGS)
# Loops of kernels/ and of painting are vectorised; what they may not do is reorder sums or contract products.
KERNEL_CFLAGS := -O3 -fno-math-errno -fno-trapping-math
HOT := libcommon/mol_raster.c libcommon/mol_deflate.c libcommon/mol_png.c
# Asked when they are used: `make check` installs what is missing and goes on.
OB_CFLAGS = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags openbabel-3 2>/dev/null))
OB_LIBS = $(shell $(PKG_CONFIG) --libs openbabel-3 2>/dev/null)
LIBS_BASE := -lzstd -lmsgpackc -lxxhash -lseccomp -lz -lm -lpthread
LIBS_BLAS := -lopenblas
# CUDA=1 builds the plug-in of NVIDIA devices, 0 does not, auto does where nvcc and cuBLAS are found.
CUDA ?= auto
CUDA_HOME ?= /usr/local/cuda
NVCC ?= $(firstword $(wildcard $(CUDA_HOME)/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
# PTX for any device from Turing on: the driver compiles it when it is first used.
CUDA_ARCH ?= -gencode arch=compute_75,code=compute_75
ifeq ($(CUDA),auto)
WITH_CUDA := $(if $(SAN),,$(and $(NVCC),$(wildcard $(CUDA_HOME)/include/cublas_v2.h /usr/include/cublas_v2.h),1))
else
WITH_CUDA := $(filter-out 0,$(CUDA))
endif
# Programs and plug-ins of one table: a plug-in of another header is refused.
ABI := $(firstword $(shell cksum < kernels/kernels.h))

# ---- what there is ----
SRC_util := $(wildcard libcommon/util_*.c)
SRC_ts := $(wildcard libcommon/ts_*.c)
SRC_mol := $(wildcard libcommon/mol_*.c)
SRC_nn := $(wildcard libcommon/nn_*.c)
SRC_kernels := $(wildcard kernels/*.c)
present = $(filter $(1),$(patsubst tools/%.c,%,$(wildcard tools/*.c)))
CHEM := $(call present,mol2graph conf3d mol2img)
LEARN := $(call present,encode train predict hyperbuild molsplit score tscat)
PROGRAMS := $(CHEM) $(LEARN)
UNIT := $(patsubst test/test_%.c,%,$(wildcard test/test_*.c))
HELPERS := $(filter-out %_ops,$(patsubst test/%.c,%,$(wildcard test/molprobe.c test/bench_*.c))) $(if $(wildcard test/golden.c),golden golden_double) nn_paths_double nn_switches_double \
	$(patsubst test/%.c,%.so,$(wildcard test/fault_*.c))
# Programs beside a plug-in that emulates the device.
EMULATED := $(B)/emulated/lib/molrill/cuda.so $(patsubst %,$(B)/emulated/%,$(LEARN:%=bin/%) \
	test/emulation test/kernels_rows test/kernels_graph test/golden)
MAN := $(wildcard man/*.[1-8])
obj = $(patsubst %,$(B)/obj/%.o,$(basename $(1)))
dbl = $(patsubst %,$(B)/dbl/%.o,$(basename $(1)))
L := $(B)/lib

all: programs $(if $(WITH_CUDA),$(B)/lib/molrill/cuda.so) ## build every program into build/bin/
programs: $(PROGRAMS:%=$(B)/bin/%)
tests: all $(UNIT:%=$(B)/test/%) $(HELPERS:%=$(B)/test/%) $(EMULATED) ## build the test programs too
.PHONY: all programs tests

help: ## this list
	@printf 'make TARGET ...\n\n'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nVariables: PREFIX DESTDIR PROGRAM_PREFIX (install), CC CFLAGS CXX CXXFLAGS LDFLAGS OPTIM (build),\nSAN=1 (sanitizers, in build/san), CUDA=0|1|auto CUDA_HOME NVCC CUDA_ARCH (the plug-in of NVIDIA devices),\nREQUIRE_SHARED=1 (tests without their data fail), FILES=... (of check), REQUIRE_GPU=1 (of check-gpu),\nPEER_PYTHON BENCH (Python with RDKit, PyTorch; options of bench, bench-chem, bench-growth).\n'
.PHONY: help

# ---- objects ----
# $(call stamp,FILE,TEXT): a prerequisite that is rewritten only when its text changes, as the Makefile is read. (Stripped,
# since make 4.3 leaves the newline on files of some lengths.)
same = $(and $(findstring <$(1)>,<$(2)>),$(findstring <$(2)>,<$(1)>))
stamp = $(if $(call same,$(strip $(2)),$(strip $(file <$(1)))),,$(file >$(1),$(strip $(2))))
$(shell mkdir -p $(B)/lib)
$(call stamp,$(B)/flags.c,$(CC) $(ALL_CFLAGS))
$(call stamp,$(B)/flags.kernels,$(KERNEL_CFLAGS))
$(call stamp,$(B)/flags.cxx,$(CXX) $(ALL_CXXFLAGS))
$(call stamp,$(B)/flags.link,$(CC) $(CXX) $(LDSAN) $(LDFLAGS) $(LIBS_BASE) $(LIBS_BLAS))
$(B)/obj/%.o: %.c $(B)/flags.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/dbl/%.o: %.c $(B)/flags.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DREAL=double -MMD -MP -c -o $@ $<
$(B)/obj/%.o: %.cc $(B)/flags.cxx
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) $(OB_CFLAGS) -MMD -MP -c -o $@ $<
$(call obj,kernels/device.c) $(call dbl,kernels/device.c): private ALL_CFLAGS += -DKERNELS_ABI='"$(ABI)"'
$(B)/gen/%.o: $(B)/gen/%.c $(B)/flags.c
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(call obj,$(SRC_kernels) $(HOT)) $(call dbl,$(SRC_kernels)): $(B)/flags.kernels
$(call obj,$(SRC_kernels) $(HOT)) $(call dbl,$(SRC_kernels)): private ALL_CFLAGS += $(KERNEL_CFLAGS)
# Products of two floats are exact in double: contracted or not, the bytes are the same.
$(call obj,kernels/cpu_exact.c): private ALL_CFLAGS += -ffp-contract=fast
# Sums over pairs wait for multiplications: a sum is contracted where a processor can, as its products are. In double too.
$(call obj,kernels/cpu_table.c) $(call dbl,kernels/cpu_table.c): private ALL_CFLAGS += -ffp-contract=fast
SCHEMAS := $(sort $(wildcard schemas/*.schema))
$(B)/gen/schema_table.c: $(SCHEMAS) schemas/table.awk
	@mkdir -p $(@D)
	awk -f schemas/table.awk $(SCHEMAS) > $@.new && mv $@.new $@

# ---- the table of CUDA devices: a plug-in that programs open when they are told to ----
SRC_cuda := $(wildcard kernels/*.cu)
CUDA_HEADERS := $(wildcard kernels/*.cuh) kernels/kernels.h libcommon/util.h
CUDA_FLAGS := -std=c++17 -O3 -fmad=false -Xcompiler -fPIC,-Wall,-Wextra,-Wno-unused-parameter $(CUDA_ARCH) -Ilibcommon -Ikernels
$(call stamp,$(B)/flags.cuda,$(NVCC) $(CUDA_FLAGS))
$(B)/cuda/%.o: kernels/%.cu $(CUDA_HEADERS) $(B)/flags.cuda
	@mkdir -p $(@D)
	$(or $(NVCC),$(error no nvcc: CUDA_HOME or NVCC says where it is)) $(CUDA_FLAGS) -DKERNELS_ABI='"$(ABI)"' -c -o $@ $<
$(B)/lib/molrill/cuda.so: $(patsubst kernels/%.cu,$(B)/cuda/%.o,$(SRC_cuda))
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS) -shared -o $@ $^ -L$(CUDA_HOME)/lib64 -lcublas -lcudart_static -lrt -ldl -lpthread
ifndef WITH_CUDA
$(shell rm -f $(B)/lib/molrill/cuda.so)
endif
# The same text by the C++ compiler, over an emulated device.
EMULATION_FLAGS := $(ALL_CXXFLAGS) -fPIC -Itest
$(B)/emulated/obj/%.o: kernels/%.cu $(CUDA_HEADERS) test/emulation.h $(B)/flags.cxx
	@mkdir -p $(@D)
	$(CXX) -x c++ $(EMULATION_FLAGS) -DKERNELS_ABI='"$(ABI)"' -include test/emulation.h -c -o $@ $<
$(B)/emulated/obj/%.o: test/%.cc test/emulation.h $(B)/flags.cxx
	@mkdir -p $(@D)
	$(CXX) $(EMULATION_FLAGS) -c -o $@ $<
$(B)/emulated/lib/molrill/cuda.so: $(patsubst kernels/%.cu,$(B)/emulated/obj/%.o,$(SRC_cuda)) $(B)/emulated/obj/emulation.o
	@mkdir -p $(@D)
	$(CXX) $(LDSAN) $(LDFLAGS) -shared -o $@ $^ $(LIBS_BLAS)
$(B)/emulated/bin/%: $(B)/bin/%
	@mkdir -p $(@D)
	ln -f $< $@
$(B)/emulated/test/%: $(B)/test/%
	@mkdir -p $(@D)
	ln -f $< $@
$(B)/emulated/test/emulation: $(B)/emulated/obj/test_emulation.o $(B)/emulated/obj/emulation.o
	@mkdir -p $(@D)
	$(CXX) $(LDSAN) $(LDFLAGS) -o $@ $^ $(LIBS_BLAS)

# ---- archives, one a layer ----
# The list of members is a prerequisite too: a source that goes away leaves the archive.
define archive
$(call stamp,$(B)/lib/lib$(1).members,$(2))
$(B)/lib/lib$(1).a: $(2) $(B)/lib/lib$(1).members
	rm -f $$@ && ar rcsD $$@ $$(filter %.o,$$^)
endef
$(eval $(call archive,util,$(call obj,$(SRC_util))))
$(eval $(call archive,ts,$(call obj,$(SRC_ts)) $(B)/gen/schema_table.o))
$(eval $(call archive,mol,$(call obj,$(SRC_mol) $(wildcard libcommon/mol_*.cc))))
$(eval $(call archive,kernels,$(call obj,$(SRC_kernels))))
$(eval $(call archive,nn,$(call obj,$(SRC_nn))))
$(eval $(call archive,kernels_double,$(call dbl,$(SRC_kernels))))
$(eval $(call archive,nn_double,$(call dbl,$(SRC_nn))))
$(eval $(call archive,cli,$(call obj,$(wildcard tools/cli*.c))))
$(eval $(call archive,molprog,$(call obj,$(wildcard tools/molprog*.c))))
$(eval $(call archive,learn,$(call obj,$(wildcard tools/learn*.c))))

# ---- programs ----
# Link lines take the objects and archives among the prerequisites.
link_c = $(CC) $(LDSAN) $(LDFLAGS) -Wl,--as-needed -o $@ $(filter %.o %.a,$^) $(LIBS_BLAS) $(LIBS_BASE)
link_chem = $(CXX) $(LDSAN) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(OB_LIBS) -lpng $(LIBS_BASE)
LIBS_util := $(L)/libutil.a
LIBS_ts := $(L)/libts.a $(LIBS_util)
LIBS_mol := $(L)/libmol.a $(LIBS_ts)
LIBS_kernels := $(L)/libkernels.a $(LIBS_util)
LIBS_nn := $(L)/libnn.a $(L)/libkernels.a $(LIBS_ts)
CHEM_LIBS := $(L)/libmolprog.a $(L)/libcli.a $(LIBS_mol)
LEARN_LIBS := $(L)/liblearn.a $(L)/libcli.a $(LIBS_nn)

$(CHEM:%=$(B)/bin/%): $(B)/bin/%: $(B)/obj/tools/%.o $(CHEM_LIBS) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_chem)
$(LEARN:%=$(B)/bin/%): $(B)/bin/%: $(B)/obj/tools/%.o $(LEARN_LIBS) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_c)

# Twins of every operation for the tests of the table: wrong ones, and ones that alone may touch its memory.
$(B)/gen/twins.c: kernels/kernels.h test/twins.awk
	@mkdir -p $(@D)
	awk -f test/twins.awk $< > $@.new && mv $@.new $@
$(B)/gen/twins.o $(B)/gen/twins_double.o: $(B)/gen/twins.c $(B)/flags.c
	$(CC) $(ALL_CFLAGS) -Itest $(if $(findstring double,$@),-DREAL=double) -MMD -MP -c -o $@ $<

# ---- test programs: test/test_LAYER_NAME.c links its layer and those below ----
define unit_rule
$(patsubst %,$(B)/test/%,$(filter $(1)_%,$(UNIT))): $(B)/test/%: $(B)/obj/test/test_%.o $(2) $(B)/flags.link
	@mkdir -p $$(@D)
	$$($(3))
endef
$(eval $(call unit_rule,util,$(LIBS_util),link_c))
$(eval $(call unit_rule,ts,$(LIBS_ts),link_c))
$(eval $(call unit_rule,mol,$(LIBS_mol),link_chem))
$(eval $(call unit_rule,kernels,$(B)/obj/test/fence.o $(B)/gen/twins.o $(LIBS_kernels),link_c))
$(eval $(call unit_rule,nn,$(B)/obj/test/fence.o $(B)/gen/twins.o $(LIBS_nn),link_c))
$(eval $(call unit_rule,learn,$(LEARN_LIBS),link_c))
# The runner of golden cases, in single and in double precision.
GOLDEN := $(wildcard test/golden*.c)
$(B)/test/golden: $(call obj,$(GOLDEN) test/fence.c) $(B)/gen/twins.o $(LIBS_nn) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_c)
$(B)/test/golden_double: $(call dbl,$(GOLDEN) test/fence.c) $(B)/gen/twins_double.o $(L)/libnn_double.a $(L)/libkernels_double.a $(LIBS_ts) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_c)
# Training by three ways, in double precision too.
$(B)/test/nn_paths_double $(B)/test/nn_switches_double: $(B)/test/%_double: $(B)/dbl/test/test_%.o $(B)/dbl/test/fence.o $(B)/gen/twins_double.o $(L)/libnn_double.a $(L)/libkernels_double.a $(LIBS_ts) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_c)
# A program over the framework of those that read molecules: its tests need one that crashes and hangs when told.
$(B)/test/molprobe: $(B)/obj/test/molprobe.o $(CHEM_LIBS) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_chem)
# Steps of the chemistry, and operations of learning, timed one by one for the benchmarks.
$(B)/test/bench_nn: $(B)/obj/test/bench_nn.o $(B)/obj/test/bench_nn_ops.o $(LIBS_nn) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_c)
$(B)/test/bench_%: $(B)/obj/test/bench_%.o $(LIBS_mol) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_chem)
# Preloaded into a program under test: makes its system calls fail when told.
$(B)/test/fault_%.so: test/fault_%.c $(B)/flags.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -g $(WARN) -D_GNU_SOURCE -fPIC -shared -o $@ $< -ldl

# ---- tests ----
deps: ## install (as root, by apt) or name the packages that are missing
	@.ci/deps build test
deps-build:
	@.ci/deps build
check: deps ## run all tests (FILES=... for some); SAN=1 for the sanitizers
	@$(MAKE) --no-print-directory tests
	@BUILD=$(abspath $(B)) UNIT='$(UNIT) nn_paths_double nn_switches_double' test/run $(FILES)
check-gpu: tests ## run the tests of operations on an NVIDIA device (CUDA=1; REQUIRE_GPU=1: fail without one)
	@BUILD=$(abspath $(B)) test/run-gpu
regold: tests ## write the golden files anew; look at what git diff says
	@BUILD=$(abspath $(B)) REGOLD=1 test/run $(shell grep -l REGOLD test/*.bats)
lint: ## check layers, names, sizes, headers, formatting, scripts, man pages
	@CC='$(CC)' CXX='$(CXX)' VERSION='$(VERSION)' test/lint
format: ## lay out all C sources by .clang-format
	clang-format -i $(wildcard */*.c */*.h */*.cc */*.cu */*.cuh)
.PHONY: deps deps-build check check-gpu regold lint format

# ---- fuzzers: never a test ----
# libFuzzer and the sanitizers, in a folder of their own; FUZZ names some of them, FUZZ_SECONDS is for each.
FUZZ ?= $(patsubst test/fuzz_%.c,%,$(wildcard test/fuzz_*.c))
FUZZ_SECONDS ?= 60
SUITES := $(wildcard $(or $(SHARED),../shared)/data/smiles-suites)
fuzzers := address,undefined -fno-sanitize-recover=undefined -DMOLRILL_SAN
$(B)/test/fuzz_%: $(B)/obj/test/fuzz_%.o $(LIBS_mol) $(B)/flags.link
	@mkdir -p $(@D)
	$(link_chem)
fuzz: programs ## hostile input for FUZZ_SECONDS=60 a fuzzer, FUZZ='smiles syntax sdf stream'
	@.ci/deps build fuzz
	@$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang CXX=clang++ OPTIM='-O1 -g' CFLAGS='-fsanitize=fuzzer-no-link,$(fuzzers)' \
		CXXFLAGS='-fsanitize=fuzzer-no-link,$(fuzzers)' LDFLAGS='-fsanitize=fuzzer,address,undefined' \
		$(FUZZ:%=$(B)/fuzz/test/fuzz_%)
	@mkdir -p $(B)/fuzz/seeds $(FUZZ:%=$(B)/fuzz/found/%)
	@/usr/bin/python3 test/fuzz_corpus.py $(B)/bin $(B)/fuzz/seeds $(SUITES)
	@for f in $(FUZZ); do \
		echo "fuzz_$$f: $(FUZZ_SECONDS) s"; \
		ASAN_OPTIONS=detect_leaks=0 nice $(B)/fuzz/test/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=4096 \
			-print_final_stats=1 -artifact_prefix=$(B)/fuzz/found/$$f- $(B)/fuzz/found/$$f $(B)/fuzz/seeds/$$f \
			> $(B)/fuzz/$$f.log 2>&1 || { tail -n 40 $(B)/fuzz/$$f.log; exit 1; }; \
		grep -a -e DONE -e number_of_executed_units $(B)/fuzz/$$f.log; done
.PHONY: fuzz

# ---- benchmarks: never a test ----
# The peer's Python has RDKit; without PEER_PYTHON it is a virtual environment of the benchmark's own, from PyPI.
PEER_PYTHON ?= $(B)/peer/bin/python
BENCH ?=
$(B)/peer/bin/python:
	python3 -m venv $(B)/peer
	$(B)/peer/bin/pip -q install rdkit numpy
bench-chem: programs $(B)/test/bench_mol $(PEER_PYTHON) ## chemistry against RDKit, a table in build/bench-chem.txt
	@$(PEER_PYTHON) test/bench_chem.py $(BENCH) $(abspath $(B)) | tee $(B)/bench-chem.txt.new
	@mv $(B)/bench-chem.txt.new $(B)/bench-chem.txt
# The peer's Python has PyTorch, zstandard and msgpack-numpy, and $SHARED/bench holds its scripts.
PEER_TORCH := torch zstandard msgpack msgpack-numpy
bench: programs $(B)/test/bench_nn $(PEER_PYTHON) ## learning against PyTorch, and two threads against one: build/bench-nn.txt
	@$(if $(filter $(B)/%,$(PEER_PYTHON)),$(PEER_PYTHON) -c 'import torch' 2>/dev/null || $(B)/peer/bin/pip -q install $(PEER_TORCH))
	@$(PEER_PYTHON) test/bench_nn.py $(BENCH) $(abspath $(B)) | tee $(B)/bench-nn.txt.new
	@mv $(B)/bench-nn.txt.new $(B)/bench-nn.txt
bench-growth: programs ## where a training step's time goes, by operation, batch, atoms, data: build/bench-growth.txt
	@/usr/bin/python3 test/bench_growth.py $(BENCH) $(abspath $(B)) | tee $(B)/bench-growth.txt.new
	@mv $(B)/bench-growth.txt.new $(B)/bench-growth.txt
bench-readme: ## the tables of README.md from those that are in build/
	@/usr/bin/python3 test/bench_readme.py README.md $(wildcard $(B)/bench-*.txt)
.PHONY: bench bench-chem bench-growth bench-readme

# ---- demonstration, installation ----
demo: deps-build ## the whole way on shipped molecules, in two minutes
	@$(MAKE) --no-print-directory programs
	@$(MAKE) --no-print-directory -f pipelines/demo.mk BIN=$(abspath $(B))/bin
install: all ## install programs, man pages, completion (PREFIX, DESTDIR, PROGRAM_PREFIX)
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PROGRAM_PREFIX='$(PROGRAM_PREFIX)' tools/install.sh $(B)/bin $(PROGRAMS)
clean: ## remove build/
	rm -rf $(B)
.PHONY: demo install clean

-include $(shell find $(B)/obj $(B)/dbl $(B)/gen -name '*.d' 2>/dev/null)
