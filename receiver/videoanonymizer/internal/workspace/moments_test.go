// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// sighting returns a sighting at ten frames per second, in a box of 20 pixels at x.
func sighting(id, reason string, first, last, x int, score float64) consoleapi.Moment {
	m := consoleapi.Moment{ID: id, Reason: reason, Frame: first, Time: float64(first) / 10, FirstFrame: first,
		LastFrame: last, Duration: float64(last-first) / 10, Score: score}
	if reason != report.NobodyFound {
		m.Box = &[4]int{x, 50, x + 20, 70}
	}
	return m
}

// TestJoinedMoments checks that what is weak at one place is one moment, and that a possibly visible head comes first,
// whatever else is weak there. A moment is written as its reason, ID, frames, and number of sightings.
func TestJoinedMoments(t *testing.T) {
	open, low, held, whole := consoleapi.Uncovered, report.LowScore, report.Held, report.MaskedWhole
	for name, test := range map[string]struct {
		sightings []consoleapi.Moment
		want      string
	}{
		"none": {nil, ""},
		"a lamp post": {[]consoleapi.Moment{
			sighting("m1", low, 3, 3, 101, 0.2), sighting("m2", held, 4, 13, 100, 0.2), sighting("m3", low, 15, 20, 99, 0.3),
			sighting("m4", low, 28, 28, 100, 0.3),
		}, "held m2 3-28 x4"},
		"a person who walks": {[]consoleapi.Moment{
			sighting("m1", low, 0, 5, 100, 0.2), sighting("m2", low, 5, 10, 115, 0.2), sighting("m3", low, 11, 16, 130, 0.2),
			sighting("m4", low, 16, 22, 145, 0.2),
		}, "low_score m4 0-22 x4"},
		"two people": {[]consoleapi.Moment{
			sighting("m1", held, 0, 9, 100, 0.3), sighting("m2", held, 0, 8, 130, 0.3),
		}, "held m1 0-9, held m2 0-8"},
		"the same place later": {[]consoleapi.Moment{
			sighting("m1", held, 0, 9, 100, 0.3), sighting("m2", held, 20, 29, 100, 0.2),
		}, "held m1 0-9, held m2 20-29"},
		"a place for long": {[]consoleapi.Moment{
			sighting("m1", held, 0, 60, 100, 0.3), sighting("m2", held, 61, 99, 100, 0.2),
			sighting("m3", held, 100, 108, 100, 0.2),
		}, "held m1 0-99 x2, held m3 100-108"},
		"an open head under a weak mask": {[]consoleapi.Moment{
			sighting("m1", held, 0, 40, 300, 0.3), sighting("u1", open, 12, 12, 103, 0.3), sighting("m2", held, 8, 14, 100, 0.3),
		}, "uncovered u1 8-14 x2, held m1 0-40"},
		"open heads side by side": {[]consoleapi.Moment{
			sighting("u1", open, 5, 10, 100, 0.3), sighting("u2", open, 8, 9, 115, 0.8),
		}, "uncovered u2 8-9, uncovered u1 5-10"},
		"an open head found twice": {[]consoleapi.Moment{
			sighting("u1", open, 5, 10, 100, 0.3), sighting("u2", open, 15, 19, 105, 0.8),
		}, "uncovered u2 5-19 x2"},
		"brief guesses": {[]consoleapi.Moment{
			sighting("m1", low, 0, 4, 300, 0.2), sighting("m2", held, 0, 9, 100, 0.3), sighting("m3", low, 0, 9, 200, 0.6),
			sighting("u1", open, 3, 3, 400, 0.3),
		}, "uncovered u1 3-3, held m2 0-9, (low_score m1 0-4), (low_score m3 0-9)"},
		"brief guesses alone": {[]consoleapi.Moment{sighting("m1", low, 0, 20, 100, 0.6)}, "low_score m1 0-20"},
		"a head in front of a screen": {[]consoleapi.Moment{
			sighting("m1", report.Screen, 0, 90, 100, 0.9), sighting("m2", held, 5, 14, 100, 0.3),
		}, "held m2 5-14, (screen m1 0-90)"},
		"masked whole": {[]consoleapi.Moment{
			sighting("m1", held, 0, 30, 100, 0.3), sighting("m2", whole, 31, 31, 100, 0), sighting("m3", whole, 32, 32, 100, 0),
		}, "masked_whole m2 31-31, masked_whole m3 32-32, held m1 0-30"},
		"nobody found": {[]consoleapi.Moment{
			sighting("m1", report.NobodyFound, 3, 3, 0, 0), sighting("m2", report.NobodyFound, 9, 9, 0, 0),
		}, "nobody_found m1 3-3, nobody_found m2 9-9"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range join(test.sightings) {
				text := fmt.Sprintf("%s %s %d-%d", m.Reason, m.ID, m.FirstFrame, m.LastFrame)
				if len(m.Sightings) > 0 {
					text += fmt.Sprintf(" x%d", len(m.Sightings))
				}
				if m.AlsoWeak {
					text = "(" + text + ")"
				}
				got = append(got, text)
			}
			assert.Equal(t, test.want, strings.Join(got, ", "))
		})
	}
}
