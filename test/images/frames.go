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

// frame is the trace of a frame: its root, and all its spans in the order of a waterfall.
type frame struct {
	root  telemetry.Span
	spans []nested
}

// nested is a span with its depth below the root.
type nested struct {
	telemetry.Span
	depth int
}

func (f frame) index() int { return f.root.Int("anonymizer.frame.index") }

// analyzed reports whether a model ran on the frame. Otherwise its people were carried over from the frames around it.
func (f frame) analyzed() bool {
	carried, _ := f.root.Attributes().Get("anonymizer.detection.carried")
	return !carried.Bool()
}

// frames are sorted by index.
type frames []frame

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
			slices.SortStableFunc(below, func(a, b telemetry.Span) int {
				return cmp.Compare(a.StartTimestamp(), b.StartTimestamp())
			})
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
		return cmp.Compare(a.index(), b.index())
	})
	return all, nil
}

// typical returns an analyzed frame in the middle of the video.
func (all frames) typical() frame {
	for _, f := range all[len(all)/2:] {
		if f.analyzed() && len(f.spans) > 10 {
			return f
		}
	}
	return all[len(all)/2]
}

// most returns the largest value of any frame, at least 0.
func (all frames) most(value func(frame) int) int {
	largest := 0
	for _, f := range all {
		largest = max(largest, value(f))
	}
	return largest
}

// durations returns the durations of the spans with that name, shortest first.
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
