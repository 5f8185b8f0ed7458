# rules.mk: the safe forms of recipes that every pipeline includes.
#
#   TARGET: INPUTS | tools are prerequisites through $(call tools,mol2graph conf3d)
#   	$(start) mol2graph ... | conf3d ... $(finish)
#
# A recipe writes to TARGET.part; the file takes its name only when every stage of the pipe ended with 0, or with 3
# (done, with rejects). Anything else stops make and leaves no target. A target depends on its inputs and on the digests
# of the tools that make it: a rebuilt tool with the same bytes remakes nothing.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

PIPELINES := $(dir $(lastword $(MAKEFILE_LIST)))
ROOT := $(patsubst %/,%,$(abspath $(PIPELINES)/..))
BIN ?= $(ROOT)/build/bin
export PATH := $(BIN):$(PATH)
export LC_ALL := C

# Live lines of the programs show when make runs on a terminal.
start = @mkdir -p $(@D); printf '%s\n' '$(@F)' >&2; {
finish = ; st=("$${PIPESTATUS[@]}"); } > $@.part; $(judge)
# For a stage that writes $@.part itself, as mol2img --sheet does.
written = ; st=("$${PIPESTATUS[@]}"); } > /dev/null; $(judge)
judge = for s in "$${st[@]}"; do case $$s in 0|3) ;; *) rm -f $@.part; echo "$@: a stage ended with $$s" >&2; exit 1;; esac; done; mv $@.part $@

# $(call tools,NAME ...): stamps that change only when a tool's bytes do.
STAMPS ?= $(OUT)/.tools
tools = $(patsubst %,$(STAMPS)/%,$(1))
$(STAMPS)/%: FORCE
	@mkdir -p $(@D); sha256sum < $(BIN)/$* > $@.new && { cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }
.PHONY: FORCE
FORCE:
.DEFAULT_GOAL :=
