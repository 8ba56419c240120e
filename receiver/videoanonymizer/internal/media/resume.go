// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// Resume opens the decoder for a video that an earlier reader read in part. known are the PTS of its frames, starting
// with the first one, and Next begins with the frame of index first, which must be one of these. It seeks to the key
// frame before that frame if this leads to the very same frame, and otherwise decodes from the beginning. It fails like
// Open, and with ErrResume if it does not find the frame; Next fails with ErrResume if a frame is not at its known
// time.
func (t Tools) Resume(ctx context.Context, info Info, opts ReadOptions, known []int64, first int) (*Reader, error) {
	if from := seekTo(info, known, first); from > 0 {
		opts.from = from
		r, err := t.resumeFrom(ctx, info, opts, known, first)
		if err == nil || ctx.Err() != nil {
			return r, err
		}
	}
	opts.from = 0
	return t.resumeFrom(ctx, info, opts, known, first)
}

// OpenAt is like Resume, but for a video whose frames an Index lists. It fails with ErrResume if seeking does not lead
// to the frame, in which case Resume decodes from the beginning.
func (t Tools) OpenAt(ctx context.Context, info Info, opts ReadOptions, known []int64, first int) (*Reader, error) {
	opts.from = seekTo(info, known, first)
	return t.resumeFrom(ctx, info, opts, known, first)
}

// seekTo returns where to seek for a frame, as a time since the file's beginning; 0 decodes from the beginning.
func seekTo(info Info, known []int64, first int) time.Duration {
	if first < 0 || first >= len(known) {
		return 0
	}
	from := timeOf(known[first], info.TimeBase) - info.begin - seekMargin
	// In a stream whose clock is set back somewhere, a time may occur twice, and seeking may lead to the wrong frame.
	if from <= seekDistance || strings.HasPrefix(info.Container, "mpeg") {
		return 0
	}
	return from
}

func (t Tools) resumeFrom(
	ctx context.Context, info Info, opts ReadOptions, known []int64, first int,
) (*Reader, error) {
	if first < 0 || first >= len(known) {
		return nil, fileError(info.Path, ErrResume, "%d frames are known, and the next is %d", len(known), first)
	}
	r, err := t.Open(ctx, info, opts)
	if err != nil {
		return nil, err
	}
	if err := r.skipTo(known, first); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// skipTo reads up to the frame of index first, which Next then returns.
func (r *Reader) skipTo(known []int64, first int) error {
	frame, err := r.next()
	if err == nil {
		i, found := slices.BinarySearch(known, frame.PTS)
		if !found || i > first {
			frame.Release()
			return fileError(r.info.Path, ErrResume, "the frame to resume at is not found")
		}
		frame.Index, r.index, r.first, r.known = i, i+1, known[0], known
	}
	for err == nil && r.index <= first {
		frame.Release()
		frame, err = r.next()
	}
	if errors.Is(err, io.EOF) {
		err = fileError(r.info.Path, ErrResume, "it ends before the frame to resume at")
	}
	r.pending = frame
	return err
}

// checkKnown fails if a frame is not at the time at which an earlier reader read it.
func (r *Reader) checkKnown(frame *Frame) error {
	if frame.Index < len(r.known) && r.known[frame.Index] != frame.PTS {
		return fileError(r.info.Path, ErrResume, "frame %d is at %s now",
			frame.Index, frame.Time.Round(time.Millisecond))
	}
	return nil
}
