// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// logTimes brings the times of the frames written since the last call to the disk.
func (w *Writer) logTimes() error {
	f, err := os.OpenFile(w.timesPath(), os.O_WRONLY|os.O_CREATE, 0o666)
	if err == nil {
		_, err = f.WriteAt(w.times.deltas[w.logged:], int64(w.logged))
		err = errors.Join(err, durable.Sync(f), f.Close())
	}
	if err != nil {
		return fileError(w.timesPath(), diskCause(err), "%v", rootCause(err))
	}
	w.logged = len(w.times.deltas)
	return nil
}

// resume takes over what an earlier writer sealed. What it had not sealed is removed, and what it had begun to join.
func (w *Writer) resume(p Progress) error {
	w.segments, w.origin = slices.Clone(p.Segments), p.Origin
	for n, size := range p.Segments {
		if stat, err := os.Lstat(w.segmentPath(n)); err != nil || !stat.Mode().IsRegular() || stat.Size() != size {
			return fileError(w.segmentPath(n), ErrResume, "it is not what was sealed")
		}
	}
	all, err := os.ReadFile(w.timesPath())
	if err != nil || int64(len(all)) < p.Times || p.Times <= 0 {
		return fileError(w.timesPath(), ErrResume, "it is not what was sealed")
	}
	w.times.deltas, w.logged = all[:p.Times:p.Times], int(p.Times)
	shown := w.Shown()
	if int64(len(shown)) != p.Frames {
		return fileError(w.timesPath(), ErrResume, "it holds %d times instead of %d", len(shown), p.Frames)
	}
	w.frames, w.first, w.times.last = p.Frames, shown[0], shown[len(shown)-1]
	unsealed := []string{w.temp}
	for n := len(w.segments); ; n++ {
		if _, err := os.Lstat(w.segmentPath(n)); err != nil {
			return removeFiles(unsealed...)
		}
		unsealed = append(unsealed, w.segmentPath(n))
	}
}

// Shown returns the PTS of all frames written so far, those of an earlier writer included.
func (w *Writer) Shown() []int64 {
	r := bufio.NewReader(bytes.NewReader(w.times.deltas))
	var log timeLog
	var shown []int64
	for {
		pts, err := log.next(r)
		if err != nil {
			return shown
		}
		shown = append(shown, pts)
	}
}

// Resume opens the decoder for a video of which frames were read before: known are their PTS, from its first frame on, and the frame
// of index first, one of them, comes first. It is sought from the key frame before it where that leads to the very frame, and else
// decoded up to. From then on Next fails with ErrResume where a frame is not at its known time.
func (t Tools) Resume(ctx context.Context, info Info, opts ReadOptions, known []int64, first int) (*Reader, error) {
	if first < 0 || first >= len(known) {
		return nil, fileError(info.Path, ErrResume, "%d frames are known, and the next is %d", len(known), first)
	}
	if from := timeOf(known[first], info.TimeBase) - info.begin - early; from > near {
		opts.from = from
		r, err := t.resumeFrom(ctx, info, opts, known, first)
		if err == nil || ctx.Err() != nil {
			return r, err
		}
	}
	opts.from = 0
	return t.resumeFrom(ctx, info, opts, known, first)
}

func (t Tools) resumeFrom(ctx context.Context, info Info, opts ReadOptions, known []int64, first int) (*Reader, error) {
	r, err := t.Open(ctx, info, opts)
	if err != nil {
		return nil, err
	}
	if err := r.forward(known, first); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// forward reads up to the frame that is to come first.
func (r *Reader) forward(known []int64, first int) error {
	frame, err := r.next()
	if err == nil {
		i, found := slices.BinarySearch(known, frame.PTS)
		if !found || i > first {
			frame.Release()
			return fileError(r.info.Path, ErrResume, "the place where it is to go on is not found")
		}
		frame.Index, r.index, r.first, r.known = i, i+1, known[0], known
	}
	for err == nil && r.index <= first {
		frame.Release()
		frame, err = r.next()
	}
	if errors.Is(err, io.EOF) {
		err = fileError(r.info.Path, ErrResume, "it ends before the frame where it is to go on")
	}
	r.pending = frame
	return err
}

// asKnown makes sure that a frame that was read in an earlier run is the same.
func (r *Reader) asKnown(frame *Frame) error {
	if frame.Index < len(r.known) && r.known[frame.Index] != frame.PTS {
		return fileError(r.info.Path, ErrResume, "frame %d is at %s now", frame.Index, frame.Time.Round(time.Millisecond))
	}
	return nil
}
