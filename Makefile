# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BINARY := bin/otelcol-anonymizer
COMPARE := bin/otelcol-anonymizer-compare
# Every component is a module of its own; the root module is the distribution.
MODULES := $(patsubst %/go.mod,%,$(wildcard models/go.mod receiver/*/go.mod processor/*/go.mod processor/*/test/go.mod))
METADATA := $(wildcard receiver/*/metadata.yaml processor/*/metadata.yaml processor/*/*/metadata.yaml)
GO := . build/env.sh && go
# What installs system packages; `make SETUP=: ...` leaves that to you.
SETUP ?= build/setup-debian.sh

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: all footage ## Anonymize two short videos of people and show the result: the place to start
	@$(GO) run ./test/demo

.PHONY: run
run: all ## Build, and run with the default configuration until Ctrl-C
	@mkdir -p videos/incoming
	$(BINARY) --config config/config.yaml

.PHONY: all
all: setup models build ## Everything that running needs: system packages, models, the program

.PHONY: setup
setup: ## Install the system packages that the build needs, where they are missing
	@$(SETUP)

.PHONY: models
models: ## Fetch and convert the models, and fetch ONNX Runtime; MODELS="name ..." for others than the default
	@$(GO) -C models run ./cmd/models fetch $(MODELS)

.PHONY: build
build: $(COMPARE) ## Build bin/otelcol-anonymizer
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BINARY) ./cmd/otelcol-anonymizer

.PHONY: $(COMPARE)
$(COMPARE):
	$(GO) -C receiver/videoanonymizer build -trimpath -ldflags "-s -w" -o ../../$(COMPARE) ./cmd/compare

.PHONY: compare
compare: $(COMPARE) ## See what else changed: make compare SOURCE=walk.mkv OUTPUT=walk_anonymized.mkv
	@$(COMPARE) "$(SOURCE)" "$(OUTPUT)"

.PHONY: footage
footage: ## Make the clips of real people that the demo and the tests run on
	@build/footage.sh

.PHONY: test
test: ## Check everything, from a bare checkout on
	@$(SETUP) test
	@$(MAKE) --no-print-directory models footage build
	@$(MAKE) --no-print-directory lint check-generated
	@for module in $(MODULES); do $(MAKE) --no-print-directory test-module MODULE=$$module; done
	@$(MAKE) --no-print-directory e2e

.PHONY: test-module
test-module: ## Test one module with the race detector: make test-module MODULE=processor/attrtometrics
	$(GO) -C $(MODULE) test -race -timeout 30m ./...

.PHONY: e2e
e2e: ## Test the built program on real footage (after make models footage build)
	$(GO) test -count=1 ./test/...

.PHONY: stack-test
stack-test: ## Ask the real Prometheus all that dashboards, rules and alerts ask, on real footage, on a fresh machine too
	@$(SETUP) test
	@$(MAKE) --no-print-directory models footage build
	$(GO) test -count=1 -v ./test/stack

.PHONY: jaeger-test
jaeger-test: models footage build ## Read the traces of real footage back from the real Jaeger, which is built first (five minutes)
	@export JAEGER=$$(build/jaeger.sh); $(GO) test -count=1 -v -run TestJaeger ./test/stack

.PHONY: kill-test
kill-test: ## Kill the built program 60 times at random moments, and see that nothing is lost (after make models footage build)
	export KILL_ROUNDS=60; $(GO) test -count=1 -timeout 20m -v -run TestKillAtRandomMoments ./test/e2e

.PHONY: bench
bench: all ## Measure speed and memory on 1080p footage; writes docs/benchmarks.md
	@build/footage.sh bench
	@$(GO) run ./test/bench

.PHONY: recall
recall: all ## Measure how many heads are masked, on footage annotated by eye; writes docs/recall.md, or with ONLY=default,thorough prints
	@build/footage.sh recall
	@$(GO) run ./test/recall $(if $(ONLY),-only "$(ONLY)")

.PHONY: lint
lint: ## Check format and vet; golangci-lint too, where it is installed
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' ':!cmd/otelcol-anonymizer' | xargs gofmt -l); \
	  [ -z "$$unformatted" ] || { echo "lint: run gofmt -w on:" $$unformatted; exit 1; }
	@for module in . $(MODULES); do echo "vet $$module"; ($(GO) -C $$module vet ./...); done
	@# What depguard says in .golangci.yml, for those who have no golangci-lint.
	@cd receiver/videoanonymizer; strayed=$$(grep -rl --include='*.go' --exclude='*_test.go' '"os/exec"' . | grep -v '/internal/media/' || true; \
	  grep -rl --include='*.go' --exclude='*_test.go' '"github.com/yalue/onnxruntime_go"' . | grep -v '/internal/onnx/' || true); \
	  [ -z "$$strayed" ] || { echo "lint: only media starts processes, and only onnx speaks to ONNX Runtime:" $$strayed; exit 1; }
	@if command -v golangci-lint >/dev/null; then \
	  for module in . $(MODULES); do (. build/env.sh && cd $$module && golangci-lint run); done; fi

.PHONY: generate
generate: ## Write the generated code anew: the distribution's and the components' metadata
	go tool -modfile=internal/tools/go.mod builder --config builder-config.yaml --skip-get-modules --skip-compilation
	@# The builder writes the version as a constant; it is to be a variable, which the linker sets.
	sed -i 's/Version:     "dev"/Version:     version/' cmd/otelcol-anonymizer/main.go
	@for metadata in $(METADATA); do \
	  echo "mdatagen $$metadata"; \
	  modfile=$$PWD/internal/tools/go.mod; \
	  (cd $$(dirname $$metadata) && go tool -modfile=$$modfile mdatagen metadata.yaml); done

.PHONY: check-generated
check-generated: ## Fail when generated code is not what its source makes
	@build/check-generated.sh

.PHONY: dashboards
dashboards: ## Write the dashboards of config/stack anew from internal/dashboards
	$(GO) run ./internal/dashboards/write

.PHONY: tidy
tidy: ## Tidy every go.mod
	@# Test dependencies of one exporter cannot be had from the module proxy, and are not needed: -e goes on without them.
	@for module in . internal/tools $(MODULES); do echo "tidy $$module"; go -C $$module mod tidy -e; done

.PHONY: readme-image
readme-image: demo ## Draw the README's picture anew, from what the demo made
	ffmpeg -nostdin -loglevel error -y -i "$$(ls -t videos/anonymized/walk-*_anonymized.mp4 | head -1)" \
	  -vf "select=eq(n\,70),crop=640:360:128:90,scale=960:-2:flags=lanczos" -frames:v 1 -q:v 4 docs/images/masked.jpg

.PHONY: install
install: ## Install what was built, in Debian's layout, below DESTDIR; a configuration that is there stays
	install -D -m 755 -t $(DESTDIR)/usr/bin $(BINARY) $(COMPARE)
	install -D -m 644 -t $(DESTDIR)/usr/share/otelcol-anonymizer/models models/*.onnx
	install -D -m 644 -t $(DESTDIR)/usr/share/otelcol-anonymizer/models/lib models/lib/*
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/otelcol-anonymizer README.md LICENSE
	[ -e $(DESTDIR)/etc/otelcol-anonymizer/config.yaml ] || install -D -m 644 -t $(DESTDIR)/etc/otelcol-anonymizer config/config.yaml
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system packaging/otelcol-anonymizer.service
	install -D -m 644 packaging/sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/otelcol-anonymizer.conf
	install -D -m 644 packaging/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/otelcol-anonymizer.conf

.PHONY: docs-images
docs-images: models footage build ## Plot the images of docs/telemetry.md from the telemetry of a real run
	$(GO) run ./test/images

.PHONY: clean
clean: ## Remove what was built; models, footage and your videos stay
	rm -rf bin

.PHONY: distclean
distclean: clean ## Remove everything that was built or fetched; your videos stay
	rm -rf build/cache models/*.onnx models/lib models/node_modules
