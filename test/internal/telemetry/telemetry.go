// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package telemetry reads the files written by the file exporter of the default configuration.
package telemetry

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Span is a span with the resource it belongs to.
type Span struct {
	ptrace.Span
	Resource pcommon.Resource
}

// Int returns the value of an attribute; 0 if the span does not have it.
func (s Span) Int(attribute string) int {
	if value, ok := s.Attributes().Get(attribute); ok {
		return int(value.Int())
	}
	return 0
}

// Spans are spans from any number of traces.
type Spans []Span

// Named returns the spans with that name.
func (all Spans) Named(name string) Spans {
	var found Spans
	for _, s := range all {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// ReadSpans reads the traces of a collector that ran in a directory.
func ReadSpans(dir string) (Spans, error) {
	var all Spans
	err := eachLine(filepath.Join(dir, "telemetry", "traces*.json"), func(line []byte) error {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			return err
		}
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					all = append(all, Span{Span: span, Resource: resource.Resource()})
				}
			}
		}
		return nil
	})
	return all, err
}

// ReadLogs reads the log records of a collector that ran in a directory.
func ReadLogs(dir string) ([]plog.LogRecord, error) {
	var all []plog.LogRecord
	err := eachLine(filepath.Join(dir, "telemetry", "logs*.json"), func(line []byte) error {
		logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
		if err != nil {
			return err
		}
		for _, resource := range logs.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					all = append(all, record)
				}
			}
		}
		return nil
	})
	return all, err
}

// maxLine is the longest line, in bytes: far more than a batch of the receiver needs.
const maxLine = 64 << 20

func eachLine(pattern string, use func([]byte) error) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no file %s", pattern)
	}
	for _, path := range paths {
		if err := eachLineOf(path, use); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func eachLineOf(path string, use func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		if err := use(scanner.Bytes()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
