// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package edits

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Live holds the operations that are not reverted.
type Live struct {
	document *Document
	live     []bool       // by index
	inForce  []*Operation // those that change masks
}

// Live returns the operations that are not reverted.
func (d *Document) Live() *Live { return d.live(func(*Operation) bool { return false }) }

// live is like Live, but ignores operations for which drop returns true, as if they had never been made.
func (d *Document) live(drop func(*Operation) bool) *Live {
	l := &Live{document: d, live: make([]bool, len(d.Operations))}
	reverted := make([]bool, len(d.Operations))
	for i := len(d.Operations) - 1; i >= 0; i-- {
		o := &d.Operations[i]
		if reverted[i] || drop(o) {
			continue
		}
		l.live[i] = true
		switch o.Type {
		case Revert:
			if o.Of >= 1 && o.Of <= i {
				reverted[o.Of-1] = true
			}
		case Confirm:
		default:
			l.inForce = append(l.inForce, o)
		}
	}
	slices.Reverse(l.inForce)
	return l
}

// Has reports whether an operation is live.
func (l *Live) Has(id int) bool { return id >= 1 && id <= len(l.live) && l.live[id-1] }

// Masks are the masks to paint in a frame.
type Masks struct {
	Whole  bool
	Heads  []mask.Head
	Bodies []mask.Body
	// Added are painted exactly as they are, whatever the mask settings.
	Added []mask.Head
}

// Equal reports whether both paint the same.
func (m *Masks) Equal(o *Masks) bool {
	return m.Whole == o.Whole && slices.Equal(m.Heads, o.Heads) && slices.Equal(m.Added, o.Added) &&
		slices.EqualFunc(m.Bodies, o.Bodies, func(a, b mask.Body) bool { return a.Box == b.Box && a.Track == b.Track })
}

// Tracks yields the tracks of the masks in a frame of a report. It yields a track once for each of its masks.
func Tracks(rec *record.Frame) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, h := range rec.Heads {
			if !yield(h.Track) {
				return
			}
		}
		for _, b := range rec.Bodies {
			if !yield(b.Track) {
				return
			}
		}
	}
}

// Apply returns the masks to paint in a frame of the report of the pipeline's output.
func (l *Live) Apply(rec *record.Frame) Masks {
	m := Masks{Whole: rec.WholeFrameMasked, Heads: rec.Heads, Bodies: rec.Bodies}
	var removed map[int]bool
	adjusted := false
	for _, o := range l.inForce {
		if o.Type == Add {
			if h, ok := o.at(rec.Index); ok {
				m.Added = append(m.Added, h)
			}
			continue
		}
		if rec.Index < o.From || rec.Index >= o.To {
			continue
		}
		switch o.Type {
		case WholeFrame:
			m.Whole = true
		case Remove:
			if removed == nil {
				removed = map[int]bool{}
			}
			removed[o.Track] = true
		case Adjust:
			if !adjusted {
				m.Heads, adjusted = slices.Clone(m.Heads), true
			}
			o.adjust(m.Heads)
		}
	}
	if removed != nil {
		m.Heads = slices.DeleteFunc(slices.Clone(m.Heads), func(h mask.Head) bool { return removed[h.Track] })
		m.Bodies = slices.DeleteFunc(slices.Clone(m.Bodies), func(b mask.Body) bool { return removed[b.Track] })
	}
	return m
}

// adjust changes the heads of the operation's track.
func (o *Operation) adjust(heads []mask.Head) {
	for i := range heads {
		if h := &heads[i]; h.Track == o.Track {
			h.X, h.Y = h.X+float32(o.DX), h.Y+float32(o.DY)
			h.RX, h.RY = h.RX*float32(o.scaleRX()), h.RY*float32(o.scaleRY())
			h.Angle += float32(o.Rotate)
		}
	}
}

func (o *Operation) scaleRX() float64 { return scale(o.ScaleRX) }
func (o *Operation) scaleRY() float64 { return scale(o.ScaleRY) }

func scale(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

// at returns the mask that Add draws in a frame.
func (o *Operation) at(frame int) (h mask.Head, ok bool) {
	i, exact := slices.BinarySearchFunc(o.Keyframes, frame, func(k Keyframe, frame int) int { return k.Frame - frame })
	if !exact {
		i--
	}
	if i < 0 || o.Keyframes[i].Outside {
		return h, false
	}
	k := o.Keyframes[i]
	if i+1 < len(o.Keyframes) && !o.Keyframes[i+1].Outside {
		next := &o.Keyframes[i+1]
		u := float64(frame-k.Frame) / float64(next.Frame-k.Frame)
		for _, v := range [...]struct {
			of *float64
			to float64
		}{{&k.X, next.X}, {&k.Y, next.Y}, {&k.RX, next.RX}, {&k.RY, next.RY}, {&k.Angle, next.Angle}} {
			*v.of += (v.to - *v.of) * u
		}
	}
	return mask.Head{X: float32(k.X), Y: float32(k.Y), RX: float32(k.RX), RY: float32(k.RY), Angle: float32(k.Angle),
		Box: o.Shape == Rectangle, Score: 1, Origin: mask.OriginAdded}, true
}

// Range returns the half-open range of frames that an operation may change.
func (d *Document) Range(id int) (from, to int) {
	o := &d.Operations[id-1]
	switch o.Type {
	case Add:
		from, to = o.Keyframes[0].Frame, d.Source.Frames
		if last := o.Keyframes[len(o.Keyframes)-1]; last.Outside {
			to = last.Frame
		}
		return from, to
	case Revert, Confirm:
		return d.Range(o.Of)
	}
	return o.From, o.To
}

// Changed returns the ranges of frames in which the document may differ from one with only its first operations. The
// ranges are sorted and do not touch each other.
func (d *Document) Changed(operations int) (ranges [][2]int) {
	before, now := d.Upto(operations).Live(), d.Live()
	for i := range d.Operations {
		if o := &d.Operations[i]; o.Type != Revert && o.Type != Confirm && before.Has(o.ID) != now.Has(o.ID) {
			from, to := d.Range(o.ID)
			ranges = append(ranges, [2]int{from, to})
		}
	}
	return Join(ranges)
}

// Join sorts half-open ranges, and joins those that touch or overlap.
func Join(ranges [][2]int) [][2]int {
	slices.SortFunc(ranges, func(a, b [2]int) int { return a[0] - b[0] })
	joined := ranges[:0]
	for _, r := range ranges {
		if last := len(joined) - 1; last >= 0 && r[0] <= joined[last][1] {
			joined[last][1] = max(joined[last][1], r[1])
		} else if r[0] < r[1] {
			joined = append(joined, r)
		}
	}
	return joined
}

// CoversOnly returns an error for the first operation that cannot be painted on a revision with the first rendered
// operations: it uncovers something, or the report does not tell exactly where the masks are.
func (d *Document) CoversOnly(rendered int, exact bool) error {
	before, now := d.Upto(rendered).Live(), d.Live()
	for i := range d.Operations {
		o := &d.Operations[i]
		if err := o.coversOnly(before.Has(o.ID), now.Has(o.ID), exact); err != nil {
			return fmt.Errorf("operation %d: %w", o.ID, err)
		}
	}
	return nil
}

// coversOnly compares whether the operation is in force now and whether it was before, in the revision.
func (o *Operation) coversOnly(before, now, exact bool) error {
	switch {
	case before == now || o.Type == Revert || o.Type == Confirm:
		return nil
	case now && (o.Type == Remove || o.Reason != ""):
		return errors.New("it uncovers")
	case now && o.Type == Adjust && !exact:
		return errors.New("the report is from an older version and does not say exactly where the masks are: " +
			"only add is possible")
	case !now && (o.Type == Add || o.Type == WholeFrame):
		return errors.New("it was rendered, so undoing it uncovers something")
	}
	return nil
}
