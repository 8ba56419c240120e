// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package edits

import (
	"errors"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Frames calls use for the frames from..to in the report of the pipeline's output, in order.
type Frames func(from, to int, use func(*record.Frame) error) error

// Uncovered is what operations without a reason uncover in a frame.
type Uncovered struct {
	Frame  int
	Pixels int
	Box    image.Rectangle
}

// Canvas is what masks are compared on.
type Canvas struct {
	Width, Height int // of a frame, in pixels
	Painter       *Painter
	Frames        Frames
}

// errEnough ends a comparison.
var errEnough = errors.New("enough")

// Uncovered returns which pixels the operations from an index on uncover without a reason, in at most limit frames. A
// pixel is uncovered if it is covered in an output with the first rendered operations, and would still be covered
// without the operations that lack a reason: adjustments, and reverts of operations in that output. Operations with a
// reason may uncover, and all others do not.
func (c *Canvas) Uncovered(d *Document, from, rendered, limit int) (found []Uncovered, err error) {
	if from >= len(d.Operations) {
		return nil, nil
	}
	var ranges [][2]int
	for i := from; i < len(d.Operations); i++ {
		if o := &d.Operations[i]; o.mayUncover() {
			first, end := d.Range(o.ID)
			ranges = append(ranges, [2]int{first, end})
		}
	}
	compared := comparison{Canvas: c, base: d.Upto(rendered).Live(), now: d.Live(),
		lenient: d.live(func(o *Operation) bool {
			return o.Reason == "" && (o.Type == Adjust || o.Type == Revert && o.Of <= rendered)
		})}
	for _, r := range Join(ranges) {
		// Silhouettes extend to the adjacent frames.
		err := compared.each(max(0, r[0]-1), min(d.Source.Frames, r[1]+1), func(u Uncovered) error {
			if found = append(found, u); len(found) >= limit {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// mayUncover reports whether the operation has no reason, but may need one. If masks only grow, it does not.
func (o *Operation) mayUncover() bool {
	switch {
	case o.Reason != "":
		return false
	case o.Type == Adjust:
		grows := o.DX == 0 && o.DY == 0 && o.Rotate == 0 && o.scaleRX() >= 1 && o.scaleRY() >= 1
		return !grows
	}
	return o.Type == Revert
}

// comparison compares three states of the masks: in the output, without the operations that lack a reason, and now.
type comparison struct {
	*Canvas
	base, lenient, now *Live
}

// each calls use for each frame in from..to in which something is uncovered.
func (c *comparison) each(from, to int, use func(Uncovered) error) error {
	return Window(c.Frames, from, to, func(before, frame, after *record.Frame) error {
		if pixels, box := c.uncovered(before, frame, after); pixels > 0 {
			return use(Uncovered{frame.Index, pixels, box})
		}
		return nil
	})
}

// Window calls use for the frames from..to, with the frames before and after each, which are nil at the ends of the
// video.
func Window(frames Frames, from, to int, use func(before, frame, after *record.Frame) error) error {
	var before, frame *record.Frame
	step := func(after *record.Frame) error {
		if frame == nil || frame.Index < from || frame.Index >= to {
			return nil
		}
		return use(before, frame, after)
	}
	err := frames(max(0, from-1), to+1, func(rec *record.Frame) error {
		if err := step(rec); err != nil {
			return err
		}
		before, frame = frame, rec
		return nil
	})
	if err != nil {
		return err
	}
	return step(nil)
}

func (c *comparison) uncovered(before, frame, after *record.Frame) (int, image.Rectangle) {
	now := c.now.Around(before, frame, after)
	base, lenient := c.base.Around(before, frame, after), c.lenient.Around(before, frame, after)
	if now.Equal(lenient) {
		return 0, image.Rectangle{}
	}
	cover := func(a *Around) *mask.Coverage { return c.Painter.Cover(c.Width, c.Height, a) }
	return cover(now).Missing(cover(base), cover(lenient))
}

// Around returns the masks of a frame and of the adjacent frames, which may be nil.
func (l *Live) Around(before, frame, after *record.Frame) *Around {
	a := &Around{At: frame.PTS, Masks: l.Apply(frame)}
	if before != nil {
		m := l.Apply(before)
		a.Before = &m
	}
	if after != nil {
		m := l.Apply(after)
		a.After = &m
	}
	return a
}

// Equal reports whether both paint the same.
func (a *Around) Equal(b *Around) bool {
	same := func(x, y *Masks) bool { return x == nil && y == nil || x != nil && y != nil && x.Equal(y) }
	return a.Masks.Equal(&b.Masks) && same(a.Before, b.Before) && same(a.After, b.After)
}
