// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// seekMargin is how long before a frame decoding begins, since containers round times.
	seekMargin = 100 * time.Millisecond
	// rounding is slightly more than the error of times in Matroska, which counts milliseconds.
	rounding = 2 * time.Millisecond
	// seekDistance is how far ahead a frame must be for the reader to seek to it rather than decode up to it: about the
	// distance between key frames.
	seekDistance = 10 * time.Second
)

// Stills reads single frames of a video: for each time, counted from the video's first frame, the frame that begins
// then, or the first one after it, or the video's last. It calls use with the index of the time and the frame, in the
// order of the times; the frame is valid until use returns. What does not decode is skipped, so that damage elsewhere
// does not matter. Stills fails like Open and Reader.Next, or with the error of use.
//
// If the next frame is far ahead, Stills seeks to the key frame before it; otherwise it decodes everything in between.
func (t Tools) Stills(
	ctx context.Context, info Info, times []time.Duration, use func(i int, frame *Frame) error,
) error {
	s := &stills{tools: t, ctx: ctx, info: info}
	defer s.close()
	if err := s.open(0, nil); err != nil {
		return err
	}
	origin := s.frame.Time
	order := make([]int, len(times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	for _, i := range order {
		s.ahead = append(s.ahead, origin+times[i])
	}
	for _, i := range order {
		if err := s.seek(); err != nil {
			return err
		}
		if err := use(i, s.frame); err != nil {
			return err
		}
		s.ahead = s.ahead[1:]
	}
	return nil
}

// stills is a position in a video.
type stills struct {
	tools  Tools
	ctx    context.Context
	info   Info
	ahead  []time.Duration // times of the frames that are still to come, in order
	reader *Reader
	frame  *Frame
}

// seek moves to the first frame ahead.
func (s *stills) seek() error {
	at := s.ahead[0]
	if s.reader.opts.around == nil || at-s.frame.Time > seekDistance {
		from := at - s.info.begin - seekMargin
		if from < seekDistance {
			from = 0
		}
		err := s.open(from, s.ahead)
		// Without an index, seeking may lead too far, and a time may lie past the end.
		if errors.Is(err, ErrDamaged) || err == nil && s.frame.Time > at+seekMargin {
			err = s.open(0, nil)
		}
		if err != nil {
			return err
		}
	}
	for s.frame.Time < at-rounding {
		if err := s.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// open starts again at a time since the file's beginning, with all frames or only those around some times.
func (s *stills) open(from time.Duration, around []time.Duration) (err error) {
	s.close()
	opts := ReadOptions{Salvage: true, from: from, around: around}
	if s.reader, err = s.tools.Open(s.ctx, s.info, opts); err != nil {
		return err
	}
	return s.next()
}

// next replaces the frame, unless it is the last one.
func (s *stills) next() error {
	frame, err := s.reader.Next()
	if err != nil {
		return err
	}
	if s.frame != nil {
		s.frame.Release()
	}
	s.frame = frame
	return nil
}

func (s *stills) close() {
	if s.frame != nil {
		s.frame.Release()
	}
	if s.reader != nil {
		s.reader.Close()
	}
	s.frame, s.reader = nil, nil
}
