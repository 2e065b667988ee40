# Everything here needs only Go, git and make; a C compiler adds the race detector.

GO ?= go

# Packages tested at once: two keep up with their servers on two cores.
TEST_P ?= 2
TEST_TIMEOUT ?= 30m
TEST_FLAGS ?=

# The race detector needs cgo, which go turns off by itself where no C compiler is found. RACE= leaves it out, RACE=-race insists.
RACE ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

# What bench is told, for example BENCH='-run put,get -rounds 3'.
BENCH ?=

# What faults is told, for example FAULTS='-run blackhole,SIGSTOP'.
FAULTS ?=

# What conformance and consumers are told, for example CONFORMANCE='-race -packages watch,lease,concurrency'.
CONFORMANCE ?=
CONSUMERS ?=

# The module whose published release has the API that is kept.
PUBLISHED := go.etcd.io/etcd/client/v3

# The database of known vulnerabilities; file:///DIR is a copy. VULN=required makes it an error that it cannot be reached.
VULNDB ?= https://vuln.go.dev
VULN ?=

# Modules below the root: those in tools/ pin programs and have no packages.
NESTED := $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path '*/testdata/*' -not -path './bin/*')))
VETTED := . $(filter-out tools tools/%,$(NESTED))
TESTED := $(VETTED)

PLATFORMS := windows/amd64 darwin/arm64 linux/386

.DEFAULT_GOAL := help

## Everyday targets

help: ## list every target
	@awk 'BEGIN { FS = ":.*## " } /^## / { print substr($$0, 4) } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

demo: $(if $(ETCD_ENDPOINTS),,etcd) ## run examples/quickstart on a server of its own, or on ETCD_ENDPOINTS
	@$(GO) run ./examples/quickstart

etcd: bin/etcd ## build bin/etcd, the pinned server that tests and examples start

etcdutl: bin/etcdutl ## build bin/etcdutl, which tests restore snapshots with

# test/faults measures rates, which tests beside it would change. It is tested by itself, after all other packages.
test: etcd etcdutl ## run the tests of every module, with the race detector (TEST_FLAGS adds flags)
	@[ -n "$(RACE)" ] || echo "no C compiler: testing without the race detector" >&2
	@status=0; for m in $(TESTED); do \
		echo "== $(GO) test $(RACE) in $$m"; \
		packages=$$(cd $$m && $(GO) list ./... | grep -v '/test/faults$$') || exit 1; \
		(cd $$m && $(GO) test $(RACE) -p $(TEST_P) -timeout $(TEST_TIMEOUT) $(TEST_FLAGS) $$packages) || status=1; \
	done; \
	echo "== $(GO) test $(RACE) ./test/faults"; \
	$(GO) test $(RACE) -timeout $(TEST_TIMEOUT) $(TEST_FLAGS) ./test/faults || status=1; \
	exit $$status

soak: etcd ## run the tests of every module that take minutes (TEST_FLAGS='-run Soak.*Leases' picks)
	@status=0; for m in $(TESTED); do \
		echo "== soak in $$m"; \
		(cd $$m && ETCD_SOAK=1 $(GO) test -v -p 1 -timeout 60m -run Soak $(TEST_FLAGS) ./...) || status=1; \
	done; exit $$status

faults: etcd ## compare this client with the published one under faults of three real members (FAULTS='-run reset,slow')
	@cd faults && $(GO) run ./run $(FAULTS)

faults-quick: etcd ## the table of faults on three real members, with the figures (ETCD_FAULTS=long for longer ones)
	@$(GO) test -v -count=1 -timeout 10m -run 'TestFaultTable|TestRestartTable|TestReadsLeaveMostMembersSilent|TestIdleWatchLeaves|TestLeasesOutliveABlackhole|TestRestraintWhile|TestHealthyMembers' $(TEST_FLAGS) ./test/faults

check: fmt vet golangci api lint cross vuln ## run every check that needs no server

conformance: ## run the etcd project's own integration tests of its client against this one (CONFORMANCE adds flags)
	@cd conformance && $(GO) run ./suite $(CONFORMANCE)

# What conformance runs, once more behind the proxy, and etcd's tests of its server, which use the client all the time.
conformance-all: ## conformance, and etcd's suites behind its gRPC proxy and of its server: some 20 minutes
	@status=0; for m in client proxy integration common; do \
		echo "== conformance, $$m"; \
		(cd conformance && $(GO) run ./suite -mode $$m $(CONFORMANCE)) || status=1; \
	done; exit $$status

consumers: etcd ## compare programs built with this client and with the published one (CONSUMERS adds flags)
	@cd conformance && $(GO) run ./consumers $(CONSUMERS)

# A copy of the packages under another module path gets the published client, and of this module's internal packages only copies of
# those that need nothing of it. What is left out has watches open while virtual time passes, which those of the published client do
# not let it (each waits for a channel that was made outside of the bubble of testing/synctest), or measures this module's watches.
portable: ## build and test copies of etcdfake and cache on the published client
	@rm -rf bin/portable; mkdir -p bin/portable/internal; cp -r etcdfake cache bin/portable/; rm -rf bin/portable/cache/linearizability
	@cp -r internal/backoff internal/streamonly bin/portable/internal/
	@cd bin/portable/etcdfake && rm watch_test.go example_watch_test.go
	@cd bin/portable/cache && rm $$(ls *_test.go | grep -vxE '(log|portable)_test.go')
	@versions=$$($(GO) list -m -f '{{.Path}}@{{.Version}}' github.com/stretchr/testify go.uber.org/goleak google.golang.org/grpc); \
	client=$$(cd tools && $(GO) list -m -f '{{.Path}}@{{.Version}}' $(PUBLISHED)); \
	cd bin/portable; \
	for f in $$(find etcdfake cache internal -name '*.go'); do sed -E 's,$(PUBLISHED)/(etcdfake|cache|internal),portable.test/\1,' $$f > copy && mv copy $$f; done; \
	$(GO) mod init portable.test 2>/dev/null; \
	for v in $$client $$versions; do $(GO) mod edit -require=$$v; done; \
	$(GO) mod tidy 2>tidy.log || { cat tidy.log; exit 1; }; \
	echo "== go test of etcdfake and cache with $$client"; $(GO) test -count=1 -timeout 2m $(TEST_FLAGS) ./...

# The packages whose tests use servers, except those that mostly kill them. A test that needs what only etcd has is skipped. They
# wait more than they work, so that more of them run at once.
ON_FAKE ?= . ./clientv3util ./concurrency ./kubernetes ./mirror ./namespace ./naming/... ./ordering ./snapshot ./test/auth ./test/client ./test/kv ./test/lease ./test/watch

on-fake: ## run tests that use servers on etcdfake, and print how many pass (ON_FAKE picks packages)
	@$(GO) build -o bin/fakeserver ./internal/testkit/fakeserver
	@$(GO) run ./internal/testkit/onfake -p 5 -timeout 5m $(TEST_FLAGS) $(ON_FAKE)

bench: ## measure this client next to the published one and the bare stubs (BENCH='-run put,get -rounds 3')
	@cd bench && $(GO) run ./run $(BENCH)

bench-real: etcd ## the same with one real member, and with 10,000 watches and 5,000 leases
	@cd bench && $(GO) run ./run -table real $(BENCH)

bench-growth: ## how costs grow with keys, watches, leases and callers, and what a client holds
	@cd bench && $(GO) run ./run -table growth $(BENCH)
	@cd bench && $(GO) run ./run -table memory

bench-cache: etcd ## reads from a local copy next to reads from one real member, and to a list and a watch
	@cd bench && $(GO) run ./cache $(BENCH)

## Parts of check

fmt: ## gofmt: list files that differ
	@files=$$(git ls-files -co --exclude-standard '*.go'); \
	out=$$(gofmt -l $$files); [ -z "$$out" ] || { echo "gofmt these files:"; echo "$$out"; exit 1; }

vet: ## go vet in every module
	@set -e; for m in $(VETTED); do echo "== $(GO) vet in $$m"; (cd $$m && $(GO) vet ./...); done

golangci: bin/golangci-lint ## golangci-lint in every module, as .golangci.yml says
	@set -e; for m in $(VETTED); do echo "== golangci-lint in $$m"; (cd $$m && $(CURDIR)/bin/golangci-lint run -c $(CURDIR)/.golangci.yml ./...); done

api: bin/apidiff bin/published.export ## compare the exported API with the listings in api/, and by apidiff with the published client
	@$(GO) run ./internal/lint/apicheck
	@bin/apidiff -m -w bin/own.export $(PUBLISHED) 2>bin/apidiff.log || { cat bin/apidiff.log; exit 1; }
	@changes=$$(bin/apidiff -m -incompatible bin/published.export bin/own.export 2>bin/apidiff.log) || { cat bin/apidiff.log; exit 1; }; \
	[ -z "$$changes" ] || { echo "apidiff: what the published client has and this one has not:"; echo "$$changes"; exit 1; }; \
	echo "apidiff: $$(cd tools && $(GO) list $(PUBLISHED)/... | grep -cv /internal) packages of $$(cd tools && $(GO) list -m $(PUBLISHED)), no incompatible change"

lint: ## the rules on size, structure, imports and documents that internal/lint holds
	@$(GO) test -count=1 ./internal/lint/...

cross: ## build and vet for windows, darwin and a 32-bit platform
	@set -e; for p in $(PLATFORMS); do \
		echo "== $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./...; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./...; \
	done

# A machine that cannot reach the database says so, and goes on.
vuln: bin/govulncheck ## known vulnerabilities in what each module calls (VULN=required fails if there is no database)
	@for m in $(VETTED); do \
		status=0; (cd $$m && $(CURDIR)/bin/govulncheck -db $(VULNDB) ./...) >bin/govulncheck.log 2>&1 || status=$$?; \
		if [ $$status != 0 ] && [ -z "$(VULN)" ] && grep -q 'fetching vulnerabilities' bin/govulncheck.log; then \
			echo "NOT CHECKED for vulnerabilities, the database cannot be reached: $$(cat bin/govulncheck.log)" >&2; exit 0; \
		fi; \
		[ $$status = 0 ] || { cat bin/govulncheck.log; exit 1; }; \
		echo "== govulncheck in $$m: nothing known"; \
	done

## Upkeep

outdated: ## newer versions of what each module requires itself (CONTRIBUTING.md says when to take them)
	@set -e; for m in $(NESTED) .; do echo "== $$m"; \
		(cd $$m && $(GO) list -m -u -f '{{if and .Update (not .Indirect)}}  {{.Path}} {{.Version}} -> {{.Update.Version}}{{end}}' all | sed '/^$$/d'); \
	done

tidy: ## bring the nested modules' requirements in line with the root's
	@set -e; for m in $(NESTED); do echo "== go mod tidy in $$m"; (cd $$m && $(GO) mod tidy); done

## Programs

bin/etcd: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../bin/etcd go.etcd.io/etcd/server/v3
	@touch $@

bin/etcdutl: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../bin/etcdutl go.etcd.io/etcd/etcdutl/v3
	@touch $@

# In a module of its own: what it requires must not choose the versions that the server is built with.
bin/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && $(GO) build -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

# In a module of its own, too.
bin/govulncheck: tools/vuln/go.mod tools/vuln/go.sum
	cd tools/vuln && $(GO) build -o ../../bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	@touch $@

bin/apidiff: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../bin/apidiff golang.org/x/exp/cmd/apidiff
	@touch $@

# The API of the published client, which tools/ has for the server's sake.
bin/published.export: tools/go.mod bin/apidiff
	@cd tools && ../bin/apidiff -m -w ../$@ $(PUBLISHED) 2>../bin/apidiff.log || { cat ../bin/apidiff.log; exit 1; }

clean: ## remove what make built
	rm -rf bin

.PHONY: help demo soak faults faults-quick etcd etcdutl test check conformance conformance-all consumers portable on-fake bench bench-real bench-growth bench-cache fmt vet golangci api lint cross vuln outdated tidy clean
