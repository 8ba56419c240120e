// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Moments returns what to review, in the order in which to review it. Each moment is a place in the picture over a
// period of time. The call also queues a second look at the output, unless there was one before.
func (w *Workspace) Moments(_ context.Context, id consoleapi.RevisionID) (consoleapi.Moments, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Moments{}, err
	}
	r := w.reviews.get(&o.Output)
	if r.Look.State == "" {
		w.looks.want(o.Output)
	}
	all := consoleapi.Moments{Moments: join(w.sightings(&o.Output, &r)), SecondLook: w.looks.state(&o.Output, &r)}
	all.SecondLook.Found = 0
	for i := range all.Moments {
		m := &all.Moments[i]
		m.SeenBy, m.Seen = r.Seen[m.ID]
		if m.Reason == consoleapi.Uncovered {
			all.SecondLook.Found++
		}
	}
	return all, nil
}

// sightings returns what the second look found, and the weak moments of the report, several of which may be about one
// place.
func (w *Workspace) sightings(o *watch.Output, r *review) []consoleapi.Moment {
	all := slices.Clone(r.Look.Found)
	if index, file, err := w.reports.indexOf(report.Path(o.Path)); err == nil {
		_ = file.Close()
		all = append(all, index.header.moments()...)
	}
	return all
}

func (h *header) moments() []consoleapi.Moment {
	all := make([]consoleapi.Moment, len(h.Weakest))
	for i, m := range h.Weakest {
		all[i] = moment(i, m)
	}
	return all
}

func moment(i int, m report.Moment) consoleapi.Moment {
	converted := consoleapi.Moment{
		ID: fmt.Sprintf("m%d", i+1), Reason: m.Reason, At: m.At, Frame: m.Frame, Time: m.Time, FirstFrame: m.FirstFrame,
		LastFrame: m.LastFrame, Duration: m.Duration, Score: m.Score,
	}
	if m.Reason != report.NobodyFound {
		converted.Box = &m.Box
	}
	return converted
}

const (
	// nearTime is the maximum time, in seconds, between two sightings of one place.
	nearTime = 1
	// longestMoment is the maximum duration, in seconds, of joined sightings: what a person can watch at once.
	longestMoment = 10
	// brief is the duration, in seconds, below which a mask that was a guess counts as also weak: little happens in half a
	// second, and masks grow with the uncertainty.
	brief = 0.5
)

// place is a place in the picture over a period of time.
type place struct {
	sightings  []consoleapi.Moment
	begin, end float64 // seconds
}

// join joins sightings of one place into moments, and sorts these by importance. A moment is about its worst sighting,
// whose ID it has.
func join(sightings []consoleapi.Moment) []consoleapi.Moment {
	slices.SortStableFunc(sightings, func(a, b consoleapi.Moment) int { return cmp.Compare(begin(&a), begin(&b)) })
	var places []*place
	for i := range sightings {
		s := &sightings[i]
		at := slices.IndexFunc(places, func(p *place) bool { return p.takes(s) })
		if at < 0 {
			at, places = len(places), append(places, &place{begin: begin(s)})
		}
		p := places[at]
		p.sightings, p.end = append(p.sightings, *s), max(p.end, end(s))
	}
	slices.SortStableFunc(places, func(a, b *place) int { return -a.compare(b) })
	moments := make([]consoleapi.Moment, len(places))
	grave := slices.ContainsFunc(places, (*place).grave)
	for i, p := range places {
		moments[i] = p.moment()
		moments[i].AlsoWeak = grave && !p.grave()
	}
	return moments
}

// takes reports whether a sighting, which must not begin before the others, belongs to this place. If the second look
// found heads at the same time, they are different heads.
func (p *place) takes(s *consoleapi.Moment) bool {
	near, another := false, false
	for i := range p.sightings {
		other := &p.sightings[i]
		near = near || begin(s)-end(other) <= nearTime && nearBy(s, other)
		another = another || s.Reason == consoleapi.Uncovered && other.Reason == consoleapi.Uncovered &&
			s.FirstFrame <= other.LastFrame
	}
	return near && !another && end(s)-p.begin <= longestMoment
}

// nearBy reports whether the centers of two boxes are no farther apart than the longest side of the boxes. Moments of
// the whole picture are places of their own. So are screens, so that a head in front of one is not missed.
func nearBy(a, b *consoleapi.Moment) bool {
	if whole(a) || whole(b) || (a.Reason == report.Screen) != (b.Reason == report.Screen) {
		return false
	}
	p, q := a.Box, b.Box
	size := max(p[2]-p[0], p[3]-p[1], q[2]-q[0], q[3]-q[1])
	return math.Hypot(float64(p[0]+p[2]-q[0]-q[2]), float64(p[1]+p[3]-q[1]-q[3]))/2 <= float64(size)
}

func whole(m *consoleapi.Moment) bool { return m.Reason == report.MaskedWhole || m.Box == nil }

// grave reports whether a head may be visible, or a mask was a guess for long.
func (p *place) grave() bool {
	return p.class() > 0 || p.guessed() >= brief
}

// class ranks places before durations are compared: 2 if someone may be visible, 1 if the whole picture has to be
// judged.
func (p *place) class() int {
	switch worst := p.worst(); {
	case worst.Reason == consoleapi.Uncovered:
		return 2
	case whole(&worst):
		return 1
	}
	return 0
}

// guessed returns how long, in seconds, masks were not derived from clear detections.
func (p *place) guessed() (long float64) {
	for i := range p.sightings {
		long += guessed(&p.sightings[i])
	}
	return long
}

func guessed(s *consoleapi.Moment) float64 {
	if s.Reason == report.LowScore && s.Score >= unsure || s.Reason == report.Screen {
		return 0
	}
	return s.Duration
}

// unsure is the score below which a detected head counts as a guess: the default of detector::score_threshold.
const unsure = 0.35

// compare is positive if this place is to be reviewed before the other.
func (p *place) compare(other *place) int {
	a, b := p.worst(), other.worst()
	order := cmp.Compare(p.class(), other.class())
	if p.class() == 2 {
		order = cmp.Or(order, cmp.Compare(a.Score, b.Score))
	}
	if p.class() == 0 {
		order = cmp.Or(order, cmp.Compare(p.guessed(), other.guessed()))
	}
	return cmp.Or(order, -cmp.Compare(p.begin, other.begin))
}

// worst returns the sighting to look at: the highest score of someone who may be visible, otherwise the longest guess.
func (p *place) worst() consoleapi.Moment {
	return slices.MaxFunc(p.sightings, func(a, b consoleapi.Moment) int {
		openA, openB := a.Reason == consoleapi.Uncovered, b.Reason == consoleapi.Uncovered
		switch {
		case openA && openB:
			return cmp.Compare(a.Score, b.Score)
		case openA:
			return 1
		case openB:
			return -1
		}
		return cmp.Or(cmp.Compare(guessed(&a), guessed(&b)), -cmp.Compare(a.Score, b.Score))
	})
}

func (p *place) moment() consoleapi.Moment {
	m := p.worst()
	if len(p.sightings) == 1 {
		return m
	}
	m.Duration = math.Round((p.end-p.begin)*1000) / 1000
	for _, s := range p.sightings {
		m.FirstFrame, m.LastFrame = min(m.FirstFrame, s.FirstFrame), max(m.LastFrame, s.LastFrame)
		m.Sightings = append(m.Sightings, consoleapi.Sighting{
			Reason: s.Reason, Frame: s.Frame, FirstFrame: s.FirstFrame, LastFrame: s.LastFrame, Box: s.Box,
		})
	}
	return m
}

// begin and end return when a sighting begins and ends, in seconds. They assume that its frames are of equal length.
func begin(m *consoleapi.Moment) float64 {
	if m.LastFrame == m.FirstFrame {
		return m.Time
	}
	return m.Time - m.Duration*float64(m.Frame-m.FirstFrame)/float64(m.LastFrame-m.FirstFrame)
}

func end(m *consoleapi.Moment) float64 { return begin(m) + m.Duration }

// count returns the number of moments that a review covers, and how many of them someone has seen. Moments that are
// also weak are not counted.
func (w *Workspace) count(o *watch.Output, r *review) (moments, seen int) {
	for _, id := range w.reports.momentsOf(report.Path(o.Path), r) {
		moments++
		if r.Seen[id] != "" {
			seen++
		}
	}
	return moments, seen
}

// counted caches the IDs of the moments that are counted.
type counted struct {
	stamp durable.Stamp
	found int
	ids   []string
}

// momentsOf returns the IDs of the moments that are counted, for lists of videos. It caches them, since reading a
// report takes long.
func (r *reports) momentsOf(path string, of *review) []string {
	st, err := durable.StampAt(path)
	if err != nil {
		st = durable.Stamp{}
	}
	r.mu.Lock()
	known, ok := r.counted[path]
	r.mu.Unlock()
	if ok && known.stamp == st && known.found == len(of.Look.Found) {
		return known.ids
	}
	sightings := slices.Clone(of.Look.Found)
	if file, err := openFile(path); err == nil {
		h, _, err := readHeader(file)
		_ = file.Close()
		if err == nil {
			sightings = append(sightings, h.moments()...)
		}
	}
	known = counted{stamp: st, found: len(of.Look.Found)}
	for _, m := range join(sightings) {
		if !m.AlsoWeak {
			known.ids = append(known.ids, m.ID)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted[path] = known
	return known.ids
}
