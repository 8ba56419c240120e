// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// part is a part of the work on a video.
type part string

const (
	decoding      part = "decoding: ffmpeg"
	encoding      part = "encoding: ffmpeg"
	inferring     part = "inference: ONNX Runtime"
	preprocessing part = "from frames to the models' inputs, from their outputs to people"
	passing       part = "passing frames through pipes, in the collector"
	masking       part = "pipeline, tracks, masks"
	reporting     part = "telemetry and report"
	finishing     part = "verification, joining, contact sheet"
	probing       part = "probing the source"
	goRuntime     part = "Go: scheduler, garbage collection"
)

// order is the order of the parts in the table.
var order = []part{decoding, encoding, inferring, preprocessing, passing, masking, reporting, goRuntime, probing,
	finishing}

// parts is the CPU time of each part.
type parts map[part]time.Duration

func (p parts) total() (sum time.Duration) {
	for _, used := range p {
		sum += used
	}
	return sum
}

// part returns the part of the work that a child of the collector does.
func (c child) part() part {
	ofSource := strings.Contains(c.source, "/incoming/")
	switch {
	case len(c.args) == 0:
		return probing // too short-lived to be seen
	case slices.Contains(c.args, "ivf"):
		return encoding
	case ofSource && filepath.Base(c.args[0]) == "ffmpeg" && slices.Contains(c.args, "rawvideo"):
		return decoding
	case ofSource && filepath.Base(c.args[0]) == "ffprobe":
		return probing
	}
	return finishing
}

// divide divides the CPU time among the parts: the time of child processes by what they do, the collector's own time by
// its profile.
func divide(children []child, own time.Duration, profilePath string) (parts, error) {
	all := parts{}
	for _, c := range children {
		all[c.part()] += c.used.total()
	}
	samples, err := profiled(profilePath)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, n := range samples {
		total += n
	}
	if total == 0 {
		return nil, fmt.Errorf("%s: the profile is empty", profilePath)
	}
	for p, n := range samples {
		all[p] += time.Duration(float64(own) * float64(n) / float64(total))
	}
	return all, nil
}

// receiver is the prefix of the packages of the video receiver in a profile.
const receiver = "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/"

// packages maps functions of the collector to parts, by the prefixes of their names.
var packages = []struct {
	prefix string
	part   part
}{
	{receiver + "onnx.", inferring},
	{receiver + "vision.", preprocessing},
	{receiver + "media.", passing},
	{receiver + "pipeline.", masking},
	{receiver + "track.", masking},
	{receiver + "mask.", masking},
	{receiver + "telemetry.", reporting},
	{receiver + "report.", reporting},
	{receiver + "record.", reporting},
	{receiver + "anonymize.", masking},
	{"go.opentelemetry.io/", reporting},
	{"github.com/open-telemetry/", reporting},
	{"github.com/otelcol-anonymizer/", reporting},
}

// callers are functions whose callees belong to the same part; "" means outside the work on a video.
var callers = []struct {
	name string
	part part
}{
	{receiver + "anonymize.(*attempt).finish", finishing},
	{receiver + "media.(*Writer).finish", finishing},
	{receiver + "media.(*comparison)", finishing},
	{receiver + "anonymize.OpenModels", ""}, // at start
	{receiver + "workspace.", ""},           // the second look at the output, which starts after the output is complete
	{"main.", ""},                           // start and shutdown
}

// profiled counts the samples of a CPU profile in each part. Samples of ONNX Runtime's own threads, if it has any,
// belong to no Go function.
func profiled(path string) (map[part]int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	samples := map[part]int64{}
	for _, s := range p.Sample {
		if to := partOf(functions(s)); to != "" {
			samples[to] += s.Value[0]
		}
	}
	return samples, nil
}

// functions returns the names of the functions on the stack, from the innermost to the outermost.
func functions(s *profile.Sample) (names []string) {
	for _, location := range s.Location {
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

func partOf(stack []string) part {
	for _, name := range stack {
		for _, c := range callers {
			if strings.HasPrefix(name, c.name) {
				return c.part
			}
		}
	}
	for _, name := range stack {
		for _, p := range packages {
			if strings.HasPrefix(name, p.prefix) {
				return p.part
			}
		}
	}
	if slices.Contains(stack, "runtime._ExternalCode") {
		return inferring
	}
	return goRuntime
}
