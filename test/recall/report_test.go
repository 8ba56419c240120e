// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	annotations := []annotation{{Clip: "a.mp4", Frames: []annotatedFrame{{Frame: 7, Heads: []head{{}, {}}}}}}
	results := []result{example(), {variant: variant{name: "deface", about: "another program"},
		skipped: errNoPeer.Error()}}
	var page bytes.Buffer
	require.NoError(t, writeReport(&page, annotations, results))
	for _, want := range []string{
		"2 heads\nin 1 frames of 1 clips",
		"**deface**: another program; not measured: deface is not installed; `make recall-peer` installs and measures it.",
		"| target |  | ≥ 98 % | ≥ 99.5 % | 0 | ≤ 1 / 3 / 12 % | ≤ 2.2 / - | ≤ 1 |  |",
		"| default | 4 (3) | **75.0 % (3/4)** | 100.0 % (1/1) | **1** | **8.00** / **20.0** / **20.0 %** | **3.00** / 4.0 | **5.0** | 20 ms |",
		"| street | 3 (2) | **66.7 % (2/3)** | 100.0 % (1/1) | **1** | **2.00** / 3.0 / 3.0 % | 2.00 / 3.0 | **10.0** | 10 ms |",
		"| far | 1 (1) | 100.0 % (1/1) | - | 0 | **20.00** / **20.0** / **20.0 %** | **4.00** / 4.0 | 0.0 | 30 ms |",
		"## By category: default, held out",
		"| street | 1 (1) | **0.0 % (0/1)** | - | 0 | **3.00** / 3.0 / 3.0 % | - / - | 0.0 | 10 ms |",
		"| face visible | 100.0 % (1/1) |", "| masks that shrink for a frame | 1 |",
		"| a.mp4 | 90 | 1, 2, 3, 4 |  | 50 % |", "Blinks: a.mp4 frame 5 at 5, 6, 7, 8.",
		"Ghosts: a.mp4 frame 3 at 9, 9, 12, 12 for 1.5 s.",
		"Masked most outside heads: 20.0 % of b.mp4 frame 3; 3.0 % of a.mp4 frame 90; 1.0 % of a.mp4 frame 3.",
	} {
		assert.Contains(t, page.String(), want)
	}
}

func TestPrintedTable(t *testing.T) {
	var printed bytes.Buffer
	require.NoError(t, printTable(&printed, example(), tuned))
	lines := strings.Split(strings.TrimSpace(printed.String()), "\n")
	require.Len(t, lines, 5, "title, header, target, street, all: far has no tuned heads")
	assert.Equal(t, strings.Fields("street 2 (1) 100.0 % (2/2) 100.0 % (1/1) 1! 1.00 / 1.0 / 1.0 % 2.00 / 3.0 13.3! 10 ms"),
		strings.Fields(lines[3]))
}

func TestExcerptHasNoFiguresOfWholeClips(t *testing.T) {
	all := example().selected("", both)
	all.Excerpt = true
	var texts []string
	for _, c := range all.row("deface", nil) {
		texts = append(texts, c.markdown())
	}
	assert.Equal(t, []string{"deface", "4 (3)", "75.0 % (3/4)", "100.0 % (1/1)", "-", "8.00 / 20.0 / 20.0 %", "3.00 / 4.0",
		"-", "-"}, texts)
}

func TestFewResultsMissNoTarget(t *testing.T) {
	row := scoredClip{}.row("none", variants[0].targets)
	for _, c := range row {
		for _, f := range c {
			assert.False(t, f.missed, f.text)
		}
	}
}
