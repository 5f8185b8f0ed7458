# molrill: `make help` lists the targets. All products lie under $(B).
.SUFFIXES:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

B ?= build
VERSION := 0.1.0
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
CXX := g++
PKG_CONFIG ?= pkg-config

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers
OPTIM ?= -O2 -g
BASE := -ffp-contract=off -fno-omit-frame-pointer -D_GNU_SOURCE -DMOLRILL_VERSION='"$(VERSION)"' -Ilibcommon -Ikernels -Itools -I$(B)/gen
ifdef SAN
BASE += -fsanitize=address,undefined -fno-sanitize-recover=undefined -DMOLRILL_SAN
LDSAN := -fsanitize=address,undefined
endif
ALL_CFLAGS := -std=c11 $(OPTIM) $(WARN) -Wmissing-prototypes -Wstrict-prototypes $(BASE) $(CFLAGS)
ALL_CXXFLAGS := -std=c++17 $(OPTIM) $(WARN) $(BASE) $(CXXFLAGS)
OB_CFLAGS = $(shell $(PKG_CONFIG) --cflags openbabel-3 2>/dev/null)
OB_LIBS = $(shell $(PKG_CONFIG) --libs openbabel-3 2>/dev/null)
LIBS_BASE := -lzstd -lmsgpackc -lxxhash -lz -lm -lpthread
LIBS_BLAS := -lopenblas
# Loops of kernels/ are vectorised; what they may not do is reorder sums or contract products.
KERNEL_CFLAGS := -O3 -fno-math-errno -fno-trapping-math

LAYERS := util ts mol nn
SRC_kernels := $(wildcard kernels/*.c)
objs = $(patsubst %.c,$(B)/obj/%.o,$(1))
dobjs = $(patsubst %.c,$(B)/dbl/%.o,$(1))
SRC_util := $(wildcard libcommon/util_*.c)
SRC_ts := $(wildcard libcommon/ts_*.c) $(B)/gen/schema_table.c
SRC_mol := $(wildcard libcommon/mol_*.c)
SRC_nn := $(wildcard libcommon/nn_*.c)

CHEM := mol2graph conf3d mol2img
LEARN := encode train predict hyperbuild molsplit score tscat
PROGRAMS := $(CHEM) $(LEARN)
CLI_SRC := $(wildcard tools/cli*.c)
MOLPROG_SRC := $(wildcard tools/molprog*.c)
LEARNPROG_SRC := $(wildcard tools/learn*.c)
UNIT := $(patsubst test/test_%.c,%,$(wildcard test/test_*.c))

all: $(PROGRAMS:%=$(B)/bin/%)

# ---- objects ----
$(B)/flags: FORCE
	@mkdir -p $(B); printf '%s\n' '$(CC) $(ALL_CFLAGS) $(KERNEL_CFLAGS) $(CXX) $(ALL_CXXFLAGS) $(LDFLAGS)' | sed "s/'/Q/g" > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/dbl/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DREAL=double -MMD -MP -c -o $@ $<
$(patsubst %.c,$(B)/obj/%.o,$(SRC_kernels)) $(patsubst %.c,$(B)/dbl/%.o,$(SRC_kernels)): private ALL_CFLAGS += $(KERNEL_CFLAGS)
$(B)/obj/%.o: %.cc $(B)/flags
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) $(OB_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/obj/$(B)/gen/%.o: $(B)/gen/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/gen/schema_table.c: $(wildcard schemas/*.schema) schemas/table.awk
	@mkdir -p $(@D)
	awk -f schemas/table.awk $(sort $(wildcard schemas/*.schema)) > $@.new && mv $@.new $@

define archive
$(B)/lib/lib$(1).a: $(2)
	@mkdir -p $$(@D)
	rm -f $$@ && ar rcsD $$@ $$^
endef
$(eval $(call archive,util,$(call objs,$(SRC_util))))
$(eval $(call archive,ts,$(call objs,$(SRC_ts))))
$(eval $(call archive,mol,$(call objs,$(SRC_mol)) $(B)/obj/libcommon/mol_openbabel.o))
$(eval $(call archive,kernels,$(call objs,$(SRC_kernels))))
$(eval $(call archive,nn,$(call objs,$(SRC_nn))))
$(eval $(call archive,kernels_double,$(call dobjs,$(SRC_kernels))))
$(eval $(call archive,nn_double,$(call dobjs,$(SRC_nn))))
$(eval $(call archive,cli,$(call objs,$(CLI_SRC))))
$(eval $(call archive,molprog,$(call objs,$(MOLPROG_SRC))))
$(eval $(call archive,learn,$(call objs,$(LEARNPROG_SRC))))

L := $(B)/lib
CHEM_LIBS := $(L)/libmolprog.a $(L)/libcli.a $(L)/libmol.a $(L)/libts.a $(L)/libutil.a
LEARN_LIBS := $(L)/liblearn.a $(L)/libcli.a $(L)/libnn.a $(L)/libkernels.a $(L)/libts.a $(L)/libutil.a

$(CHEM:%=$(B)/bin/%): $(B)/bin/%: $(B)/obj/tools/%.o $(CHEM_LIBS)
	@mkdir -p $(@D)
	$(CXX) $(LDSAN) $(LDFLAGS) -o $@ $^ $(OB_LIBS) -lpng $(LIBS_BASE)
$(LEARN:%=$(B)/bin/%): $(B)/bin/%: $(B)/obj/tools/%.o $(LEARN_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(LIBS_BLAS) $(LIBS_BASE)

# ---- unit tests: test/test_LAYER_NAME.c links its layer and those below ----
$(B)/test/util_% $(B)/test/ts_%: LAYERLIBS = $(L)/libts.a $(L)/libutil.a
$(B)/test/util_% $(B)/test/ts_%: $(B)/obj/test/test_%.o
$(filter util_% ts_%,$(UNIT)): %: $(B)/test/%
$(patsubst %,$(B)/test/%,$(filter util_% ts_%,$(UNIT))): $(B)/test/%: $(B)/obj/test/test_%.o $(L)/libts.a $(L)/libutil.a
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(LIBS_BASE)
$(patsubst %,$(B)/test/%,$(filter mol_%,$(UNIT))): $(B)/test/%: $(B)/obj/test/test_%.o $(L)/libmol.a $(L)/libts.a $(L)/libutil.a
	@mkdir -p $(@D)
	$(CXX) $(LDSAN) $(LDFLAGS) -o $@ $^ $(OB_LIBS) -lpng $(LIBS_BASE)
$(patsubst %,$(B)/test/%,$(filter kernels_% nn_%,$(UNIT))): $(B)/test/%: $(B)/obj/test/test_%.o $(L)/libnn.a $(L)/libkernels.a $(L)/libts.a $(L)/libutil.a
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(LIBS_BLAS) $(LIBS_BASE)
# The runner of golden cases, in single and in double precision.
$(B)/test/golden: $(patsubst %.c,$(B)/obj/%.o,$(wildcard test/golden*.c)) $(L)/libnn.a $(L)/libkernels.a $(L)/libts.a $(L)/libutil.a
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(LIBS_BLAS) $(LIBS_BASE)
$(B)/test/golden_double: $(patsubst %.c,$(B)/dbl/%.o,$(wildcard test/golden*.c)) $(L)/libnn_double.a $(L)/libkernels_double.a $(L)/libts.a $(L)/libutil.a
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(LIBS_BLAS) $(LIBS_BASE)
# A program over the framework of those that read molecules: its tests need one that crashes and hangs when told.
$(B)/test/molprobe: $(B)/obj/test/molprobe.o $(CHEM_LIBS)
	@mkdir -p $(@D)
	$(CXX) $(LDSAN) $(LDFLAGS) -o $@ $^ $(OB_LIBS) $(LIBS_BASE)

clean:
	rm -rf $(B)

.PHONY: all clean FORCE
FORCE:
-include $(shell find $(B)/obj $(B)/dbl -name '*.d' 2>/dev/null)
