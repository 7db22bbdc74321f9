# Included by the Makefile: from sources to AWS. `make help` lists these too.
.PHONY: package deploy undeploy bench-cold lint-infra

package: $(READY) ## zip and CloudFormation template of STAGE, in build/STAGE
	@$(BIN)/python -m lynceus package --stage $(STAGE) $(PACKAGE)

deploy: $(READY) ## resources, package and functions of STAGE to AWS (CLUSTER=eks-name the first time)
	@$(BIN)/python -m lynceus deploy --stage $(STAGE) $(if $(CLUSTER),--cluster $(CLUSTER)) $(DEPLOY)

undeploy: $(READY) ## take STAGE away from AWS; its ledger and secrets stay
	@$(BIN)/python -m lynceus undeploy --stage $(STAGE) $(UNDEPLOY)

bench-cold: $(READY) ## cold starts of the package beside one that is not slimmed
	@$(BIN)/python -m bench.cold

.venv-lint/.ready: infra/lint-requirements.txt
	@test -x .venv-lint/bin/python || $(BIN)/python -m venv .venv-lint
	@echo "installing linters into .venv-lint (once)"
	@.venv-lint/bin/python -m pip install --quiet --disable-pip-version-check -r infra/lint-requirements.txt
	@touch $@

lint-infra: $(READY) .venv-lint/.ready ## checkov over the templates, schemas of the pipelines
	@$(BIN)/python -m pytest -n0 -q -rs tests/infra/test_linters.py
