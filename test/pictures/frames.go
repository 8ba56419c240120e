// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

// frame is the trace of a frame: its root, and all spans in the order of a waterfall.
type frame struct {
	root  telemetry.Span
	spans []nested
}

// nested is a span with its depth below the root.
type nested struct {
	telemetry.Span
	depth int
}

func (f frame) judged() bool {
	carried, _ := f.root.Attributes().Get("anonymizer.detection.carried")
	return !carried.Bool()
}

type frames []frame // by index

func framesOf(spans telemetry.Spans) (frames, error) {
	children := map[pcommon.SpanID]telemetry.Spans{}
	for _, s := range spans {
		children[s.ParentSpanID()] = append(children[s.ParentSpanID()], s)
	}
	var all frames
	for _, root := range spans.Named("process_single_frame") {
		f := frame{root: root}
		var walk func(s telemetry.Span, depth int)
		walk = func(s telemetry.Span, depth int) {
			f.spans = append(f.spans, nested{s, depth})
			below := children[s.SpanID()]
			slices.SortStableFunc(below, func(a, b telemetry.Span) int { return cmp.Compare(a.StartTimestamp(), b.StartTimestamp()) })
			for _, child := range below {
				walk(child, depth+1)
			}
		}
		walk(root, 0)
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, errors.New("no frame left a trace")
	}
	slices.SortFunc(all, func(a, b frame) int {
		return cmp.Compare(a.root.Int("anonymizer.frame.index"), b.root.Int("anonymizer.frame.index"))
	})
	return all, nil
}

// typical is a judged frame in the middle of the video.
func (all frames) typical() frame {
	for _, f := range all[len(all)/2:] {
		if f.judged() && len(f.spans) > 10 {
			return f
		}
	}
	return all[len(all)/2]
}

// durations of the spans of that name, in order of size.
func (all frames) durations(name string) []time.Duration {
	var found []time.Duration
	for _, f := range all {
		for _, s := range f.spans {
			if s.Name() == name {
				found = append(found, length(s.Span))
			}
		}
	}
	slices.Sort(found)
	return found
}

func length(s telemetry.Span) time.Duration {
	return time.Duration(s.EndTimestamp() - s.StartTimestamp())
}
