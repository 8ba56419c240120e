// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// cell is one or more figures in a row of a table.
type cell []figure

// figure is a number, and whether it misses a target.
type figure struct {
	text   string
	missed bool
}

// header has the columns of a table of measures, after the one that names the row.
var header = []string{"heads (different)", "covered", "with a face", "blinks", "outside: mean / 95th / worst",
	"tight: median / 95th", "ghosts", "CPU"}

// bounds returns the row of targets.
func (t targets) bounds() []cell {
	return []cell{
		{{text: "target"}},
		{{}},
		{{text: fmt.Sprintf("≥ %g %%", t.covered)}},
		{{text: fmt.Sprintf("≥ %g %%", t.faces)}},
		{{text: fmt.Sprint(t.blinks)}},
		{{text: fmt.Sprintf("≤ %g", t.outsideMean)}, {text: fmt.Sprintf("%g", t.outside95)},
			{text: fmt.Sprintf("%g %%", t.outsideMost)}},
		{{text: fmt.Sprintf("≤ %g", t.tight)}, {text: "-"}},
		{{text: fmt.Sprintf("≤ %g", t.ghosts)}},
		{{}},
	}
}

// row returns the measures of a part of a result, compared with targets if there are any.
func (s scoredClip) row(name string, t *targets) []cell {
	if t == nil {
		t = &targets{blinks: math.MaxInt, outsideMean: 100, outside95: 100, outsideMost: 100, tight: math.Inf(1),
			ghosts: math.Inf(1)}
	}
	covered, heads := s.count(groupNames[0])
	coveredFaces, faces := s.count("face visible")
	blinks, _ := s.tears()
	outside, tight := s.outside(), s.tight()
	return []cell{
		{{text: name}},
		{{text: fmt.Sprintf("%d (%d)", heads, s.distinct())}},
		{atLeast(t.covered, covered, heads)},
		{atLeast(t.faces, coveredFaces, faces)},
		{s.ofWhole(figure{fmt.Sprint(blinks), blinks > t.blinks})},
		{atMost("%.2f", t.outsideMean, 100*mean(outside)), atMost("%.1f", t.outside95, 100*percentile(outside, 0.95)),
			atMost("%.1f %%", t.outsideMost, 100*percentile(outside, 1))},
		{atMost("%.2f", t.tight, percentile(tight, 0.5)), atMost("%.1f", math.Inf(1), percentile(tight, 0.95))},
		{s.ofWhole(atMost("%.1f", t.ghosts, s.ghostRate()))},
		{s.ofWhole(figure{text: fmt.Sprintf("%.0f ms", s.cpu())})},
	}
}

// ofWhole returns a figure that only a clip with all its frames has.
func (s scoredClip) ofWhole(f figure) figure {
	if s.Excerpt {
		return figure{text: "-"}
	}
	return f
}

func atLeast(least float64, covered, all int) figure {
	return figure{ratio(covered, all), all > 0 && 100*float64(covered) < least*float64(all)}
}

// atMost returns a figure with an upper bound; NaN means that nothing was measured.
func atMost(format string, most, value float64) figure {
	if math.IsNaN(value) {
		return figure{text: "-"}
	}
	return figure{fmt.Sprintf(format, value), value > most}
}

func ratio(covered, all int) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %% (%d/%d)", 100*float64(covered)/float64(all), covered, all)
}

// categories returns the categories of the measured clips, in the order of the annotations.
func (r result) categories() (names []string) {
	for _, clip := range r.clips {
		if !slices.Contains(names, clip.Category) {
			names = append(names, clip.Category)
		}
	}
	return names
}

// table returns the targets if there are any, a row for each category with annotated frames in a half, and a row for
// all categories.
func (r result) table(half string) (rows [][]cell) {
	if r.targets != nil {
		rows = append(rows, r.targets.bounds())
	}
	for _, category := range r.categories() {
		if s := r.selected(category, half); len(s.Outside) > 0 {
			rows = append(rows, s.row(category, r.targets))
		}
	}
	return append(rows, r.selected("", half).row("**all**", r.targets))
}

// markdown returns the figures of a cell, with those that miss a target in bold.
func (c cell) markdown() string { return c.join("**%s**") }

// plain returns the figures of a cell, with an exclamation mark after those that miss a target.
func (c cell) plain() string { return strings.ReplaceAll(c.join("%s!"), "**", "") }

func (c cell) join(missed string) string {
	var texts []string
	for _, f := range c {
		if f.missed {
			f.text = fmt.Sprintf(missed, f.text)
		}
		texts = append(texts, f.text)
	}
	return strings.Join(texts, " / ")
}

// printTable prints a variant's table for reading in a terminal.
func printTable(w io.Writer, r result, half string) error {
	fmt.Fprintf(w, "%s, %s heads (! misses its target):\n", r.name, half)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "category\t"+strings.Join(header, "\t"))
	for _, row := range r.table(half) {
		var texts []string
		for _, c := range row {
			texts = append(texts, c.plain())
		}
		fmt.Fprintln(columns, strings.Join(texts, "\t"))
	}
	return columns.Flush()
}
