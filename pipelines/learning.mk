# learning.mk: does pre-training learn? Three views of molecules without labels; then, among molecules that were held
# out, each view has to find the others; beside that, controls that know less.
#
#   make -f pipelines/learning.mk SMILES=FILE [SHARD=0/16] [EPOCHS=6] [BATCH=128] [JOBS=N] [OUT=DIR]
#
# SMILES: one a line. Shown are shares of molecules found at the first place and among the first ten of all held-out
# molecules (a tie is a miss), and of those with as many atoms; the row `formula` is what the elements alone would find,
# and the second table what is left when each molecule's positions are dealt anew among its atoms. Curves are SVG.

OUT ?= build/learning
SHARD ?= 0/16
HELD ?= 0.0476
EPOCHS ?= 6
BATCH ?= 128
PRESET ?= cpu
JOBS ?= 2
include $(dir $(lastword $(MAKEFILE_LIST)))rules.mk

ifndef SMILES
$(error SMILES=FILE is missing: molecules, one a line, as in the head of this file)
endif
PAIRS := c2d:c3d,c3d:c2d,c2d:cimg,cimg:c2d,c3d:cimg,cimg:c3d

.SECONDARY:
learning: $(OUT)/retrieval.tsv $(OUT)/shuffled.tsv $(OUT)/losses.svg $(OUT)/memory.svg
	@printf '\nHeld-out molecules: how often one view finds another\n'; column -t -s '	' < $(OUT)/retrieval.tsv
	@printf '\nThe same with positions dealt anew among the atoms\n'; column -t -s '	' < $(OUT)/shuffled.tsv
	@printf '\nThe memory bank at the last step (nats; slots are told apart by information and cosine)\n'
	@tail -n 1 $(OUT)/curves.tsv | awk -F '\t' '{ printf "usage %.3f, certainty %.3f, information %.3f, largest cosine %.4f\n", $$8, $$9, $$10, $$11 }'
	@printf '\nCurves: %s %s\n' '$(OUT)/losses.svg' '$(OUT)/memory.svg'

$(OUT)/views.mts: $(SMILES) $(call tools,mol2graph molsplit conf3d mol2img)
	$(start) mol2graph -j $(JOBS) --shard $(SHARD) --rejects $(OUT)/rejects.graph.tsv $(SMILES) \
		| molsplit --by random --frac '$(shell awk 'BEGIN { print 1 - $(HELD) "," $(HELD) ",0" }')' --seed 1 \
		| conf3d -j $(JOBS) --rejects $(OUT)/rejects.conf3d.tsv | mol2img -j $(JOBS) --size 96 $(finish)
$(OUT)/model.mts: $(OUT)/views.mts $(call tools,molsplit train)
	$(start) molsplit --by column --column split --only train $< \
		| train --task pretrain --preset $(PRESET) --epochs $(EPOCHS) --batch $(BATCH) --schedule cosine -j $(JOBS) --log $(OUT)/model.jsonl $(finish)
$(OUT)/held.mts: $(OUT)/views.mts $(call tools,molsplit)
	$(start) molsplit --by column --column split --only valid $< $(finish)
$(OUT)/retrieval.tsv: $(OUT)/held.mts $(OUT)/model.mts $(call tools,encode score)
	$(start) encode -m $(OUT)/model.mts --out c2d,c3d,cimg $< | score --retrieval $(PAIRS) $(finish)
$(OUT)/shuffled.tsv: $(OUT)/held.mts $(OUT)/model.mts $(call tools,encode score)
	$(start) encode -m $(OUT)/model.mts --out c2d,c3d,cimg --shuffle-positions $< | score --retrieval c2d:c3d,c3d:c2d,c3d:cimg,cimg:c3d $(finish)

# Columns: step, losses, what the memory does.
$(OUT)/curves.tsv: $(OUT)/model.mts $(ROOT)/pipelines/curves.awk
	$(start) awk -f $(ROOT)/pipelines/curves.awk $(OUT)/model.jsonl $(finish)
$(OUT)/losses.svg $(OUT)/memory.svg: $(OUT)/%.svg: $(OUT)/curves.tsv $(ROOT)/pipelines/%.gp
	$(start) gnuplot -e 'file = "$<"' $(ROOT)/pipelines/$*.gp $(finish)
