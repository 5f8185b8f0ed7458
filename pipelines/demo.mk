# demo.mk: the whole way on examples/wellknown.csv, from names to scores and drawings. `make demo` runs it.
#
#   make -f pipelines/demo.mk [OUT=DIR] [JOBS=N]

OUT ?= build/demo
JOBS ?= 2
include $(dir $(lastword $(MAKEFILE_LIST)))rules.mk

DATA := $(ROOT)/examples/wellknown.csv
TASKS := acid,base,cns
TRAIN := train --preset tiny -j $(JOBS)
FINETUNE := $(TRAIN) --task finetune --views 2d --epochs 30 --batch 32 --dropout 0.1 -m $(OUT)/structure.mts

demo: $(OUT)/scores.tsv $(OUT)/sheet.png
	@printf '\nScores on molecules whose scaffolds were never seen in training, with 95 %% intervals; last column: the mean score of five\nmodels that were trained on shuffled labels, which can know nothing (0.5).\n\n'
	@column -t -s '	' < $(OUT)/scores.tsv
	@printf '\nThe drawings, coloured by what was predicted:  %s\nThe predictions:                               %s\nThe model, and the commands that made it:      tscat --history %s\nEverything else lies in                        %s\n' \
		'$(OUT)/sheet.png' '$(OUT)/predictions.tsv' '$(OUT)/model.mts' '$(OUT)'
	@printf '\nNext, molecules of your own (one SMILES a line):\n  export PATH=%s:$$PATH\n  mol2graph mine.smi | predict -m %s\nand man %s/man/molrill.7 for the tour.\n' '$(BIN)' '$(OUT)/model.mts' '$(ROOT)'

# Graphs, conformers and pictures; a molecule without a conformer goes on without one.
$(OUT)/views.mts: $(DATA) $(call tools,mol2graph conf3d mol2img)
	$(start) mol2graph -j $(JOBS) --smiles smiles --id name --labels $(TASKS) --scaffold --fp --rejects $(OUT)/rejects.graph.tsv $(DATA) \
		| conf3d -j $(JOBS) --keep-failed --rejects $(OUT)/rejects.conf3d.tsv \
		| mol2img -j $(JOBS) --size 48 --rejects $(OUT)/rejects.img.tsv $(finish)

# Three views of each molecule, without any label.
$(OUT)/pretrained.mts: $(OUT)/views.mts $(call tools,train)
	$(start) $(TRAIN) --task pretrain --seed 1 --epochs 6 --batch 32 --log $(OUT)/pretrained.jsonl $< $(finish)

# Hyperedges of alike molecules, then the memory bank on fixed codes.
$(OUT)/hyper.mts: $(OUT)/pretrained.mts $(OUT)/views.mts $(call tools,encode hyperbuild)
	$(start) encode -m $(OUT)/pretrained.mts --out c $(OUT)/views.mts | hyperbuild -k 10 $(finish)
$(OUT)/structure.mts: $(OUT)/hyper.mts $(OUT)/pretrained.mts $(call tools,train)
	$(start) $(TRAIN) --task structure --seed 1 --epochs 6 --batch 32 -m $(OUT)/pretrained.mts --log $(OUT)/structure.jsonl $< $(finish)

# Scaffolds of the test set do not occur in the training set.
$(OUT)/split.mts: $(OUT)/views.mts $(call tools,molsplit)
	$(start) molsplit --by scaffold --frac 0.6,0.1,0.3 $< $(finish)
$(OUT)/model.mts: $(OUT)/split.mts $(OUT)/structure.mts $(call tools,train)
	$(start) $(FINETUNE) --seed 1 --log $(OUT)/model.jsonl $< $(finish)

# The control: the same training on labels that were dealt out anew, several times.
DRAWS := 1 2 3 4 5
$(OUT)/shuffled.%.mts: $(OUT)/split.mts $(OUT)/structure.mts $(call tools,train)
	$(start) $(FINETUNE) --seed $* --shuffle-labels --log $(OUT)/shuffled.$*.jsonl $< $(finish)

$(OUT)/predictions.tsv: $(OUT)/model.mts
$(DRAWS:%=$(OUT)/shuffled.%.predictions.tsv): $(OUT)/%.predictions.tsv: $(OUT)/%.mts
$(OUT)/predictions.tsv $(DRAWS:%=$(OUT)/shuffled.%.predictions.tsv): $(OUT)/split.mts $(call tools,molsplit predict)
	$(start) molsplit --by column --column split --only test $(OUT)/split.mts | predict -m $(filter %.mts,$(filter-out %/split.mts,$^)) $(finish)
$(OUT)/score.tsv: $(OUT)/predictions.tsv $(call tools,score)
	$(start) score --metric roc-auc --bootstrap 1000 --seed 1 $< $(finish)
$(OUT)/shuffled.%.score.tsv: $(OUT)/shuffled.%.predictions.tsv $(call tools,score)
	$(start) score --metric roc-auc $< $(finish)
# Beside each score the mean of the control's.
$(OUT)/scores.tsv: $(OUT)/score.tsv $(DRAWS:%=$(OUT)/shuffled.%.score.tsv)
	$(start) awk -F '\t' -v OFS='\t' 'FNR == 1 { file++; if (file == 1) print $$0, "shuffled"; next } \
		file == 1 { line[++n] = $$0; name[n] = $$1; next } { sum[$$1] += $$3; count[$$1]++ } \
		END { for (i = 1; i <= n; i++) print line[i], sprintf("%.4f", sum[name[i]] / count[name[i]]) }' $^ $(finish)

# The test molecules, each drawn and coloured by its first prediction.
$(OUT)/sheet.png: $(OUT)/split.mts $(OUT)/model.mts $(call tools,molsplit predict mol2img)
	$(start) molsplit --by column --column split --only test $< | predict --stream -m $(OUT)/model.mts \
		| mol2img --size 160 --sheet $@.part --highlight pred $(written)
