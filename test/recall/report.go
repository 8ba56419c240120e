// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

var report = template.Must(template.New("").Parse(`# Recall

` + "`make recall`" + ` writes this page. It runs the built program on real footage, once for each variant below, and compares
each output with its source pixel by pixel: {{.Heads}} heads in {{.Annotated}} frames of {{len .Clips}} clips, annotated by eye in
[test/recall/annotations](../test/recall/annotations). A head's box extends from the top of hair or hat to the chin (from
behind: to the nape). **A head is covered when at least 90 % of the ellipse inscribed in its box is masked.**

| heads covered |{{range .Measured}} {{.}} |{{end}}
| --- |{{range .Measured}} ---: |{{end}}
{{range .Rows}}|{{range .}} {{.}} |{{end}}
{{end}}
{{range .Variants}}- {{.}}
{{end}}
In the table,

- *small* is less than {{.Small}} pixels high; *edge* is within 2 pixels of the frame's edge; *crowd* is where the box, grown by its
  size on all sides, meets another head's;
- *blinks* are counted over all {{.Frames}} frames: connected regions of at least 12 pixels, masked in the frames before and after
  but not in this one, that are at least a quarter of the connected mask in the frame before, and at least 90 % of what
  is masked both before and after; smaller regions are masks that *shrink for a frame*;
- *outside people* is the masked part of the annotated frames that does not belong to a person: beyond half a head above,
  six heads below and one and a half head widths to each side of a head;
- *faces found again* are those that OpenCV's Haar cascade ` + "`frontalface_alt2`" + `, which is independent of the program's
  models, finds on annotated heads in the sources, and again at the same place in the outputs;
- *CPU per frame* is the CPU time of the program and its child processes, with lossless output, over all clips.

{{range .Weak}}## Heads not covered: {{.Name}}

{{if .Heads}}| clip | frame | box | what | masked |
| --- | ---: | --- | --- | ---: |
{{range .Heads}}| {{.Clip}} | {{.Frame}} | {{printf "%.0f, %.0f, %.0f, %.0f" (index .Box 0) (index .Box 1) (index .Box 2) (index .Box 3)}} | {{.What}} | {{printf "%.0f %%" .Percent}} |
{{end}}{{else}}None.
{{end}}{{with .More}}
{{.}} more are not listed.
{{end}}{{with .Blinks}}
Blinks: {{.}}.
{{end}}{{with .Outside}}
Masked most outside people:{{range $i, $f := .}}{{if $i}};{{end}} {{printf "%.1f %%" .Percent}} of {{.Clip}} frame {{.Frame}}{{end}}.
{{end}}
{{end}}For images of all of them, cut from the outputs, run ` + "`go run ./test/recall -sheet DIRECTORY`" + `, and with ` + "`-only NAME`" + ` for one
variant only. Those of a blink include the frames before and after it.
`))

// weakest are the heads that are not covered, the least covered first.
func weakest(r result) []scoredHead {
	var weak []scoredHead
	for _, h := range r.Heads {
		if !h.covered() {
			weak = append(weak, h)
		}
	}
	slices.SortStableFunc(weak, func(a, b scoredHead) int { return cmp.Compare(a.Coverage, b.Coverage) })
	return weak
}

// mostOutside are the five frames with the most masked outside people.
func mostOutside(r result) []scoredFrame {
	frames := slices.Clone(r.Outside)
	slices.SortStableFunc(frames, func(a, b scoredFrame) int { return cmp.Compare(b.Share, a.Share) })
	return frames[:min(len(frames), 5)]
}

// What describes a head.
func (h scoredHead) What() string { return strings.Join(h.Groups[1:], ", ") }

// Percent is the masked part of the head, in percent.
func (h scoredHead) Percent() float64 { return 100 * h.Coverage }

// listed is how many uncovered heads of a variant are listed.
const listed = 40

func writeReport(w io.Writer, annotations []annotation, results []result) error {
	var page struct {
		Heads, Annotated, Frames, Small int
		Clips, Measured, Variants       []string
		Rows                            [][]string
		Weak                            []any
	}
	for _, a := range annotations {
		page.Clips = append(page.Clips, a.Clip)
		page.Annotated += len(a.Frames)
		for _, frame := range a.Frames {
			page.Heads += len(frame.Heads)
		}
	}
	page.Small = smallHead
	var measured []result
	for _, r := range results {
		about := fmt.Sprintf("**%s**: %s", r.name, r.about)
		if r.skipped != "" {
			page.Variants = append(page.Variants, about+"; skipped: this build does not accept these settings.")
			continue
		}
		page.Variants = append(page.Variants, about+".")
		page.Measured = append(page.Measured, r.name)
		page.Frames = r.Frames
		measured = append(measured, r)
		if r.detail || len(results) == 1 {
			weak := weakest(r)
			page.Weak = append(page.Weak, map[string]any{"Name": r.name, "Heads": weak[:min(len(weak), listed)],
				"More": max(0, len(weak)-listed), "Blinks": tearList(r.Tears), "Outside": mostOutside(r)})
		}
	}
	page.Rows = rows(page.Clips, measured)
	return report.Execute(w, page)
}

func tearList(tears []scoredTear) string {
	var list []string
	for _, t := range tears {
		if t.blink {
			list = append(list, fmt.Sprintf("%s frame %d at %.0f, %.0f, %.0f, %.0f", t.Clip, t.Frame,
				t.box[0], t.box[1], t.box[2], t.box[3]))
		}
	}
	return strings.Join(list[:min(len(list), listed)], "; ")
}

// rows are the body of the table.
func rows(clips []string, results []result) [][]string {
	var rows [][]string
	add := func(name string, cell func(result) string) {
		row := []string{name}
		for _, r := range results {
			row = append(row, cell(r))
		}
		rows = append(rows, row)
	}
	for _, group := range groupNames {
		add(group, func(r result) string { return ratio(r.count(group)) })
	}
	for _, clip := range clips {
		add("in "+clip, func(r result) string {
			covered, all := 0, 0
			for _, h := range r.Heads {
				if h.Clip == clip {
					all++
					if h.covered() {
						covered++
					}
				}
			}
			return ratio(covered, all)
		})
	}
	add("blinks", func(r result) string {
		blinks, _ := r.tears()
		return fmt.Sprint(blinks)
	})
	add("masks that shrink for a frame", func(r result) string {
		_, shrinks := r.tears()
		return fmt.Sprint(shrinks)
	})
	add("faces found again by Haar cascade", func(r result) string { return fmt.Sprintf("%d of %d", r.Again, r.Faces) })
	add("masked outside people, mean", func(r result) string { return fmt.Sprintf("%.2f %%", r.meanOutside()) })
	add("masked outside people, most in a frame", func(r result) string {
		most := 0.0
		for _, frame := range r.Outside {
			most = max(most, frame.Percent())
		}
		return fmt.Sprintf("%.2f %%", most)
	})
	add("CPU per frame", func(r result) string {
		return fmt.Sprintf("%.0f ms", r.CPU.Seconds()*1000/float64(max(1, r.Frames)))
	})
	return rows
}

// meanOutside is the mean percentage of an annotated frame that is masked outside people.
func (r result) meanOutside() (percent float64) {
	for _, frame := range r.Outside {
		percent += frame.Percent() / float64(len(r.Outside))
	}
	return percent
}

// summary is one line with the most important figures.
func (r result) summary() string {
	blinks, _ := r.tears()
	return fmt.Sprintf("heads covered %s, with a face %s, blinks %d, masked outside people %.2f %%",
		ratio(r.count(groupNames[0])),
		ratio(r.count("face visible")), blinks, r.meanOutside())
}

func ratio(covered, all int) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %% (%d/%d)", 100*float64(covered)/float64(all), covered, all)
}

// saveReport writes docs/recall.md and prints it.
func saveReport(annotations []annotation, results []result) error {
	path := filepath.Join(collector.Root(), "docs", "recall.md")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := writeReport(io.MultiWriter(file, os.Stdout), annotations, results); err != nil {
		return err
	}
	return file.Close()
}
