// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	// early is how much before a frame decoding begins, since containers round times.
	early = 100 * time.Millisecond
	// rounding is what Matroska's milliseconds make of a time, and a little more.
	rounding = 2 * time.Millisecond
)

// Stills gives single frames of a video, one after the other: for each time, counted from the video's first frame, the frame that
// begins then, or the first one after it, or the video's last. Each costs a decoder that begins at the nearest key frame before.
// The frames are released when use returns. What does not decode is passed over, so that damage elsewhere does not matter.
func (t Tools) Stills(ctx context.Context, info Info, times []time.Duration, use func(i int, frame *Frame) error) error {
	first, err := t.still(ctx, info, 0, 0, 0)
	if err != nil {
		return err
	}
	origin := first.Time
	first.Release()
	for i, at := range times {
		frame, err := t.still(ctx, info, max(0, at-early), origin, at)
		// A container without an index may lead too far, or past the end.
		if tooFar := err == nil && frame.Time-origin > at+early; tooFar || errors.Is(err, ErrDamaged) {
			if tooFar {
				frame.Release()
			}
			frame, err = t.still(ctx, info, 0, origin, at)
		}
		if err != nil {
			return err
		}
		err = use(i, frame)
		frame.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// still decodes from a time on until the frame at another.
func (t Tools) still(ctx context.Context, info Info, from, origin, at time.Duration) (*Frame, error) {
	reader, err := t.Open(ctx, info, ReadOptions{Salvage: true, from: from})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var last *Frame
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) && last != nil {
			return last, nil
		}
		if last != nil {
			last.Release()
		}
		if err != nil {
			return nil, err
		}
		if from == 0 && at == 0 || frame.Time-origin >= at-rounding {
			return frame, nil
		}
		last = frame
	}
}
