// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// spansResult has the benchmarks of attrtometrics.
type spansResult struct {
	conditions
	Connectors []spanCost // connectors that turn the same spans into the same gauge
	Parallel   []spanCost // by goroutines and spans per batch
}

// spanCost is the median of a benchmark, per span.
type spanCost struct {
	Name        string
	Goroutines  int
	NS          float64 // elapsed
	CPU         float64 // ns
	Allocations float64
}

// measureSpans runs the benchmarks in processor/attrtometrics/test.
func measureSpans(ctx context.Context, b *bench, r *results) (err error) {
	fmt.Println("bench: attrtometrics")
	s, load := &spansResult{}, watchLoad()
	if s.Connectors, err = benchmark(ctx, "BenchmarkSpan/.*/series=16", "1", "1000000x"); err != nil {
		return err
	}
	if s.Parallel, err = benchmark(ctx, "BenchmarkParallel", "1,2,4,8", "10000000x"); err != nil {
		return err
	}
	s.conditions = b.conditions(load)
	r.Spans = s
	return nil
}

var benchmarkLine = regexp.MustCompile(
	`(?m)^Benchmark\w+/(\S+?)(?:-(\d+))?\s+\d+\s+(\S+) ns/op\s+(\S+) cpu-ns/op\s+\S+ B/op\s+(\S+) allocs/op$`)

func benchmark(ctx context.Context, name, procs, repetitions string) ([]spanCost, error) {
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", name, "-cpu", procs,
		"-benchtime", repetitions, "-count", "5", ".")
	command.Dir = filepath.Join(collector.Root(), "processor", "attrtometrics", "test")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", command.Args, err, output)
	}
	costs, err := readBenchmarks(output)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", command.Args, err)
	}
	return costs, nil
}

// readBenchmarks parses the output of `go test -bench`, and returns the median of each benchmark by CPU time.
func readBenchmarks(output []byte) (costs []spanCost, err error) {
	var all [][]spanCost
	for _, line := range benchmarkLine.FindAllSubmatch(output, -1) {
		c := spanCost{Name: string(line[1]), Goroutines: 1}
		if len(line[2]) > 0 {
			if c.Goroutines, err = strconv.Atoi(string(line[2])); err != nil {
				return nil, err
			}
		}
		for i, to := range []*float64{&c.NS, &c.CPU, &c.Allocations} {
			if *to, err = strconv.ParseFloat(string(line[3+i]), 64); err != nil {
				return nil, err
			}
		}
		same := slices.IndexFunc(all, func(s []spanCost) bool {
			return s[0].Name == c.Name && s[0].Goroutines == c.Goroutines
		})
		if same < 0 {
			all = append(all, []spanCost{c})
		} else {
			all[same] = append(all[same], c)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no benchmark in: %s", output)
	}
	for _, s := range all {
		slices.SortFunc(s, func(a, b spanCost) int { return int(1000 * (a.CPU - b.CPU)) })
		costs = append(costs, s[len(s)/2])
	}
	return costs, nil
}
