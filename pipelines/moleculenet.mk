# moleculenet.mk: sets of MoleculeNet under the protocol of published tables, with and without pre-training.
#
#   make -f pipelines/moleculenet.mk DATA=FOLDER SETS="bbbp bace" [SEEDS="0 1 2"] [JOBS=N] bbbp bace
#
# FOLDER holds NAME.csv.gz of each set and, beside it, pretrain/chembl.smi.gz (or PRETRAIN=FILE: SMILES, one a line).
# Of each set: a table of ROC-AUC (or RMSE) of a graph encoder trained from nothing, of one that was pre-trained, and of two
# controls: a random split, and shuffled labels. experiments(7) says how to read it. `make -n` shows every command.

OUT ?= build/moleculenet
SETS ?= bbbp
SEEDS ?= 0 1 2
JOBS ?= 2
EPOCHS ?= 100
FEATURES ?= hu
PRESET ?= cpu
include $(dir $(lastword $(MAKEFILE_LIST)))rules.mk

ifndef DATA
$(error DATA=FOLDER is missing: the folder with the sets, as in the head of this file)
endif
PRETRAIN ?= $(DATA)/../pretrain/chembl.smi.gz
PRETRAIN_N ?= 5000
PRETRAIN_EPOCHS ?= 5

# Columns: SMILES is `smiles` in all of them.
labels.bbbp := p_np
labels.bace := Class
labels.clintox := FDA_APPROVED,CT_TOX
labels.sider := all
labels.tox21 := all
labels.muv := all
labels.hiv := HIV_active
labels.esol := measured log solubility in mols per litre
labels.freesolv := expt
id.bbbp := num
id.bace := CID
id.tox21 := mol_id
id.muv := mol_id
id.esol := Compound ID
id.freesolv := iupac
labels_of = '$(labels.$(1))'
id_of = $(if $(id.$(1)),--id '$(id.$(1))')
metric_of = $(if $(filter esol freesolv,$(1)),rmse,roc-auc)

FINETUNE := train --task finetune --preset $(PRESET) --views 2d --epochs $(EPOCHS) --batch 32 --lr 1e-3 --dropout 0.5 --keep last -j 1

.SECONDARY:
all: $(SETS)
$(SETS): %: $(OUT)/%/table.tsv
	@printf '\n%s, %s features, %s epochs, seeds %s (every figure is in $(OUT)/$*)\n' '$*' '$(FEATURES)' '$(EPOCHS)' '$(SEEDS)'
	@column -t -s '	' < $<

# ---- pre-training: three views, no molecule of any set in SETS ----
$(OUT)/sets.mts: $(foreach s,$(SETS),$(DATA)/$(s).csv.gz) $(call tools,mol2graph)
	$(start) for s in $(SETS); do mol2graph -j $(JOBS) --quiet --smiles smiles --canonical $(DATA)/$$s.csv.gz 2> /dev/null; \
		c=$$?; [ $$c = 0 ] || [ $$c = 3 ] || exit 1; done $(finish)
$(OUT)/pretrain.data.mts: $(PRETRAIN) $(OUT)/sets.mts $(call tools,mol2graph molsplit conf3d mol2img)
	$(start) mol2graph -j $(JOBS) --features $(FEATURES) --canonical --limit $(PRETRAIN_N) --rejects $(OUT)/pretrain.graph.tsv $(PRETRAIN) \
		| molsplit --by random --frac 1,0,0 --without $(OUT)/sets.mts \
		| conf3d -j $(JOBS) --method dg --keep-failed --rejects $(OUT)/pretrain.conf3d.tsv | mol2img -j $(JOBS) --size 96 $(finish)
$(OUT)/pretrained.mts: $(OUT)/pretrain.data.mts $(call tools,train)
	$(start) train --task pretrain --preset $(PRESET) --epochs $(PRETRAIN_EPOCHS) --batch 32 --seed 0 -j $(JOBS) --log $(OUT)/pretrained.jsonl $< $(finish)

# ---- one set ----
$(OUT)/%/graphs.mts: $(DATA)/%.csv.gz $(call tools,mol2graph)
	$(start) mol2graph -j $(JOBS) --features $(FEATURES) --smiles smiles $(call id_of,$*) --labels $(call labels_of,$*) --scaffold \
		--rejects $(@D)/rejects.tsv $< $(finish)
$(OUT)/%/scaffold.mts: $(OUT)/%/graphs.mts $(call tools,molsplit)
	$(start) molsplit --by scaffold $< $(finish)
$(OUT)/%/random.mts: $(OUT)/%/graphs.mts $(call tools,molsplit)
	$(start) molsplit --by random --seed 0 $< $(finish)

# $(call run,SET,RUN,SEED,SPLIT,OPTIONS,MORE PREREQUISITES)
define run
$(OUT)/$(1)/$(2).$(3).mts: $(OUT)/$(1)/$(4).mts $(6) $(call tools,train)
	$$(start) $(FINETUNE) --metric $(call metric_of,$(1)) --seed $(3) $(5) --log $(OUT)/$(1)/$(2).$(3).jsonl $$< $$(finish)
endef
$(foreach s,$(SETS),$(foreach n,$(SEEDS),$(eval $(call run,$(s),scratch,$(n),scaffold))))
$(foreach s,$(SETS),$(foreach n,$(SEEDS),$(eval $(call run,$(s),pretrained,$(n),scaffold,-m $(OUT)/pretrained.mts,$(OUT)/pretrained.mts))))
$(foreach s,$(SETS),$(foreach n,$(firstword $(SEEDS)),$(eval $(call run,$(s),random,$(n),random))))
$(foreach s,$(SETS),$(foreach n,$(SEEDS),$(eval $(call run,$(s),shuffled,$(n),scaffold,--shuffle-labels))))

# One row a run: training and test score at the last epoch, test score at the best epoch on the validation set.
models = $(foreach r,scratch pretrained shuffled,$(foreach n,$(SEEDS),$(OUT)/$(1)/$(r).$(n).mts)) \
	$(OUT)/$(1)/random.$(firstword $(SEEDS)).mts
define table
$(OUT)/$(1)/table.tsv: $(call models,$(1)) $(PIPELINES)table.awk $(call tools,tscat)
	$$(start) for m in $(call models,$(1)); do printf '%s\t' "$$$$(basename $$$$m .mts)"; tscat --json -n 0 $$$$m | head -n 1; done \
		| awk -f $(PIPELINES)table.awk $$(finish)
endef
$(foreach s,$(SETS),$(eval $(call table,$(s))))
