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
	// early is how much before a frame decoding begins, since containers round times.
	early = 100 * time.Millisecond
	// rounding is what Matroska's milliseconds make of a time, and a little more.
	rounding = 2 * time.Millisecond
	// near is how far ahead a frame is decoded up to rather than sought: key frames are about as far apart.
	near = 10 * time.Second
)

// Stills gives single frames of a video: for each time, counted from the video's first frame, the frame that begins then, or the
// first one after it, or the video's last. They come in the order of their times and are valid until use returns. Decoded is
// what lies between them, or, where that is long, from the key frame before each. What does not decode is passed over, so that
// damage elsewhere does not matter.
func (t Tools) Stills(ctx context.Context, info Info, times []time.Duration, use func(i int, frame *Frame) error) error {
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

// stills is a place in a video.
type stills struct {
	tools  Tools
	ctx    context.Context
	info   Info
	ahead  []time.Duration // what is still to be shown, in order
	reader *Reader
	frame  *Frame
}

// seek goes on to the first frame ahead.
func (s *stills) seek() error {
	at := s.ahead[0]
	if s.reader.opts.around == nil || at-s.frame.Time > near {
		from := at - s.info.begin - early
		if from < near {
			from = 0
		}
		err := s.open(from, s.ahead)
		// A container without an index may lead too far, and a time may lie past the end.
		if errors.Is(err, ErrDamaged) || err == nil && s.frame.Time > at+early {
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

// open begins anew at a time since the file's beginning, with all frames or those around some times.
func (s *stills) open(from time.Duration, around []time.Duration) (err error) {
	s.close()
	if s.reader, err = s.tools.Open(s.ctx, s.info, ReadOptions{Salvage: true, from: from, around: around}); err != nil {
		return err
	}
	return s.next()
}

// next replaces the frame, unless there is none after it.
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
		_ = s.reader.Close()
	}
	s.frame, s.reader = nil, nil
}
