// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Reasons why a moment is weak.
const (
	// LowScore means that a head was located with low confidence.
	LowScore = "low_score"
	// Interpolated means that a head was not detected for a while between two sightings, and was masked where it must have
	// been.
	Interpolated = "interpolated"
	// Held means that a head was masked before its first or after its last sighting.
	Held = "held"
	// NoKeypoints means that a person was detected, but too little of a head, so that the top of the person is masked.
	NoKeypoints = "no_keypoints"
	// Screen means that a screen is masked, with mask::also.
	Screen = "screen"
	// MaskedWhole means that frames could not be analyzed and are masked whole. They show nobody, and nothing else either.
	MaskedWhole = "masked_whole"
	// NobodyFound means that nobody was found in the whole video, and that this frame is a sample of it.
	NobodyFound = "nobody_found"
)

// reasons is the order of moments with the same rank. Moments with NobodyFound follow all others.
var reasons = [...]string{LowScore, Interpolated, Held, NoKeypoints, Screen, MaskedWhole}

const (
	// keptMoments is the number of moments kept for each reason.
	keptMoments = 20
	// usual is the longest interpolation, in seconds, that is not a weakness. Frames are analyzed at least this often.
	usual = 0.1
	// period is the interval at which the lowest score of a persistent head is reported again.
	period = 2 * time.Second
)

// Moment is a run of consecutive frames in which a mask is weak.
type Moment struct {
	Reason string `json:"reason"`
	// At is Time in hours, minutes and seconds.
	At string `json:"at"`
	// Frame and Time (seconds from the first frame) identify the frame to look at: the one with the lowest score, or with
	// the largest mask, because masks grow with their uncertainty.
	Frame int     `json:"frame"`
	Time  float64 `json:"time_s"`
	// FirstFrame and LastFrame delimit the run. Duration is the number of seconds from one to the other.
	FirstFrame int     `json:"first_frame"`
	LastFrame  int     `json:"last_frame"`
	Duration   float64 `json:"duration_s"`
	// Score is the confidence, 0 to 1, of the detection that the mask was derived from.
	Score float64 `json:"score"`
	// Box is the mask at Frame, in pixels: left, top, right, bottom.
	Box [4]int `json:"box"`

	area       float32
	begin, end float64  // seconds
	picture    *picture // nil if none was taken
}

// chain is a mask in consecutive frames, tracked by its position.
type chain struct {
	head  mask.Head
	alive bool // present in the current frame
	run   *Moment
	low   *Moment
	since time.Duration
}

// moments finds the weak moments while frames arrive. Its memory is limited by the number of masks in a frame.
type moments struct {
	chains []*chain
	whole  *Moment
	kept   [len(reasons)][]Moment // sorted, weakest first
	sample []Moment               // frames to review if nobody was found
	tiles  int                    // pictures are kept of this many of the weakest moments of each reason
}

// add adds the next frame. Times are relative to first.
func (m *moments) add(rec *record.Frame, first time.Duration) {
	for _, c := range m.chains {
		c.alive = false
	}
	if rec.WholeFrameMasked {
		h := mask.Head{}
		if len(rec.Heads) > 0 {
			h = rec.Heads[0]
		}
		m.extend(&m.whole, MaskedWhole, rec, h, first)
	} else {
		m.end(&m.whole)
		for _, h := range rec.Heads {
			m.follow(m.chainOf(h), h, rec, first)
		}
	}
	m.chains = slices.DeleteFunc(m.chains, func(c *chain) bool {
		if !c.alive {
			m.end(&c.run)
			m.end(&c.low)
		}
		return !c.alive
	})
}

// chainOf returns the nearest chain whose head in the previous frame overlaps this one, or a new chain.
func (m *moments) chainOf(h mask.Head) *chain {
	var nearest *chain
	least := math.Inf(1)
	for _, c := range m.chains {
		distance := math.Hypot(float64(c.head.X-h.X), float64(c.head.Y-h.Y))
		if !c.alive && distance < least && distance < float64(max(h.RX, h.RY, c.head.RX, c.head.RY)) {
			nearest, least = c, distance
		}
	}
	if nearest == nil {
		nearest = &chain{}
		m.chains = append(m.chains, nearest)
	}
	nearest.head, nearest.alive = h, true
	return nearest
}

// follow adds the head of the chain in the current frame.
func (m *moments) follow(c *chain, h mask.Head, rec *record.Frame, first time.Duration) {
	switch h.Origin {
	case mask.OriginInterpolated:
		m.extend(&c.run, Interpolated, rec, h, first)
		return
	case mask.OriginHeld:
		m.extend(&c.run, Held, rec, h, first)
		return
	case mask.OriginScreen:
		m.extend(&c.run, Screen, rec, h, first)
		return
	case mask.OriginBox:
		m.extend(&c.run, NoKeypoints, rec, h, first)
	default:
		m.end(&c.run)
	}
	if c.low != nil && rec.PTS-c.since > period {
		m.end(&c.low)
	}
	if c.low == nil {
		c.since = rec.PTS
	}
	m.extend(&c.low, LowScore, rec, h, first)
}

// extend adds the frame to a run. It starts a new run if the reason has changed.
func (m *moments) extend(run **Moment, reason string, rec *record.Frame, h mask.Head, first time.Duration) {
	if *run != nil && (*run).Reason != reason {
		m.end(run)
	}
	at := seconds(rec.PTS - first)
	if *run == nil {
		*run = &Moment{Reason: reason, FirstFrame: rec.Index, Score: 2, begin: at} // any score is lower
	}
	r := *run
	r.LastFrame = rec.Index
	area := h.RX * h.RY
	if score := finite(float64(h.Score)); reason == LowScore && score < r.Score || reason != LowScore && area > r.area ||
		r.Score > 1 {
		r.Frame, r.Time, r.Score, r.area, r.Box = rec.Index, at, score, area, corners(h.Bounds())
	}
	r.end = at
}

// end ends a run, and keeps it if it is among the weakest.
func (m *moments) end(run **Moment) {
	r := *run
	if r == nil {
		return
	}
	*run = nil
	r.Duration = math.Round((r.end-r.begin)*1000) / 1000
	if r.Reason == Interpolated && r.Duration < usual {
		return
	}
	r.Score = math.Round(r.Score*1000) / 1000
	r.At = Timecode(r.Time)
	kept := &m.kept[slices.Index(reasons[:], r.Reason)]
	at, _ := slices.BinarySearchFunc(*kept, *r, weaker)
	if at < keptMoments {
		*kept = slices.Insert(*kept, at, *r)
		*kept = (*kept)[:min(len(*kept), keptMoments)]
		m.settle(*kept, at)
	}
}

// settle settles the picture of a moment that was added, and discards the pictures that no contact sheet will show.
func (m *moments) settle(kept []Moment, added int) {
	for i := m.tiles; i < len(kept); i++ {
		kept[i].picture = nil
	}
	if p := kept[added].picture; p != nil {
		p.settle()
	}
}

// take takes pictures of those runs that are weakest in the frame that was added last and may be shown.
func (m *moments) take(frame *media.Frame) {
	take := func(r *Moment) {
		if r != nil && r.Frame == frame.Index && m.mayShow(r) {
			r.picture = r.picture.take(frame, *r)
		}
	}
	take(m.whole)
	for _, c := range m.chains {
		take(c.run)
		take(c.low)
	}
}

// forget discards all pictures, including those of runs that have not ended.
func (m *moments) forget() {
	m.tiles = 0
	for i := range m.sample {
		m.sample[i].picture = nil
	}
	for _, kept := range m.kept {
		for i := range kept {
			kept[i].picture = nil
		}
	}
}

// mayShow reports whether a contact sheet may show a run. Runs with LowScore can be compared by their scores. The
// duration of other runs is unknown until they end.
func (m *moments) mayShow(r *Moment) bool {
	kept := m.kept[slices.Index(reasons[:], r.Reason)]
	return r.Reason != LowScore || len(kept) < m.tiles || weaker(*r, kept[m.tiles-1]) < 0
}

// weaker orders moments with the same reason: by score, or by duration.
func weaker(a, b Moment) int {
	if a.Reason == LowScore {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Frame, b.Frame))
	}
	return cmp.Or(cmp.Compare(b.Duration, a.Duration), cmp.Compare(a.Score, b.Score), cmp.Compare(a.Frame, b.Frame))
}

// weakest takes the weakest moments of each reason in turn, because reasons are not comparable and none should hide
// another.
func (m *moments) weakest() []Moment {
	m.end(&m.whole)
	for _, c := range m.chains {
		m.end(&c.run)
		m.end(&c.low)
	}
	m.chains = nil
	all := []Moment{}
	for rank := range keptMoments {
		for _, kept := range m.kept {
			if rank < len(kept) {
				all = append(all, kept[rank])
			}
		}
	}
	return append(all, m.sample...)
}

func corners(b vision.Box) [4]int {
	return [4]int{round(b.X0), round(b.Y0), round(b.X1), round(b.Y1)}
}

func round(v float32) int { return int(math.Round(float64(v))) }

// Timecode formats seconds as hours, minutes and seconds with milliseconds.
func Timecode(seconds float64) string {
	ms := int64(math.Round(seconds * 1000))
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Sprintf("%s%02d:%02d:%02d.%03d", sign, ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
