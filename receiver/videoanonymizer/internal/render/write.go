// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// write writes the video to temp: touched segments are decoded, painted and encoded, and the others are copied.
func (r *run) write(ctx context.Context, temp string) (err error) {
	ctx, cancel := context.WithCancel(ctx) // stops both decoder and encoder
	defer cancel()
	create := func() (*media.Writer, error) { return r.Tools.Create(ctx, temp, r.plan, nil) }
	if r.spliced {
		create = func() (*media.Writer, error) { return r.Tools.Splice(ctx, temp, r.plan, r.out) }
	}
	w, err := create()
	if err != nil {
		return err
	}
	defer func() { _ = w.Abort() }()
	frames := r.decoder(ctx)
	defer frames.close()
	r.encoded = 0
	total := 0
	for i, s := range r.segments {
		if r.touched[i] {
			total += s[1] - s[0]
		}
	}
	for i, s := range r.segments {
		if !r.touched[i] {
			err = w.Copy(r.pts[s[0]:s[1]])
		} else {
			err = r.encode(w, frames, s[0], s[1], total)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Finish(ctx); err != nil {
		return err
	}
	if !r.spliced {
		r.segments = w.Segments()
	}
	return nil
}

// encode decodes, paints and encodes the frames from..to as one segment.
func (r *run) encode(w *media.Writer, frames *decoder, from, to, total int) error {
	if r.spliced {
		if err := w.EndSegment(); err != nil {
			return err
		}
	}
	begin := r.info.TimeOf(r.pts[0])
	return edits.Window(r.first.Frames, from, to, func(before, rec, after *record.Frame) error {
		frame, err := frames.at(rec.Index)
		if err != nil {
			return err
		}
		defer frame.Release()
		around := r.live.Around(before, rec, after)
		around.At = r.info.TimeOf(r.pts[rec.Index]) - begin
		if !r.first.Exact() { // the report's masks are already painted, and not exactly known
			around.Masks.Heads, around.Masks.Bodies, around.Before, around.After = nil, nil, nil, nil
		}
		if err := r.painter.Paint(frame, around); err != nil {
			return err
		}
		if err := w.Write(frame); err != nil {
			return err
		}
		r.encoded++
		if r.Progress != nil {
			r.Progress(r.encoded, total)
		}
		return nil
	})
}

// decoder returns frames by number. The numbers must not decrease.
type decoder struct {
	*run
	ctx    context.Context
	known  []int64 // PTS of the frames in the file, nil if unknown
	asked  bool    // known has been looked up
	reader *media.Reader
	next   int           // number of the frame that reader returns next
	begin  time.Duration // time of the first frame of the video, as reader returns it
}

func (r *run) decoder(ctx context.Context) *decoder { return &decoder{run: r, ctx: ctx} }

func (d *decoder) close() {
	if d.reader != nil {
		d.reader.Close()
	}
	d.reader = nil
}

// far is the number of frames from which on it pays to seek ahead.
const far = 250

// at returns a frame, with its time in the output. The caller releases it.
func (d *decoder) at(n int) (*media.Frame, error) {
	if d.reader == nil || n-d.next > far {
		if err := d.open(n); err != nil {
			return nil, err
		}
	}
	for {
		frame, err := d.reader.Next()
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", n, err)
		}
		if frame.Index == 0 {
			d.begin = frame.Time
		}
		d.next = frame.Index + 1
		if frame.Index == n {
			if err := d.check(frame); err != nil {
				frame.Release()
				return nil, err
			}
			frame.PTS = d.pts[n]
			return frame, nil
		}
		frame.Release()
		if d.next > n {
			return nil, fmt.Errorf("%w: frame %d is not where it was", ErrMismatch, n)
		}
	}
}

// open starts to decode at frame n, or earlier if seeking is not possible.
func (d *decoder) open(n int) (err error) {
	options := d.Read
	if d.from == report.FromOutput {
		options = media.ReadOptions{}
	}
	options.Salvage = d.first.Salvage != nil && d.from == report.FromSource
	if n > far && !d.asked {
		d.asked = true
		if d.known, err = d.knownTimes(); err != nil {
			return err
		}
	}
	if n > far && d.known != nil {
		reader, err := d.Tools.Resume(d.ctx, d.info, options, d.known, n)
		if err == nil {
			d.close()
			d.reader, d.next = reader, n
			d.begin = d.info.TimeOf(d.known[0])
			return nil
		}
		if !errors.Is(err, media.ErrResume) {
			return err
		}
		d.known = nil
	}
	if d.reader != nil { // continue frame by frame
		return nil
	}
	d.reader, err = d.Tools.Open(d.ctx, d.info, options)
	d.next = 0
	return err
}

// knownTimes returns the times of the packets, if they match those of the output's frames.
func (d *decoder) knownTimes() ([]int64, error) {
	known, err := d.Tools.Times(d.ctx, d.info)
	if d.ctx.Err() != nil {
		return nil, err
	}
	if err != nil || len(known) != len(d.pts) {
		return nil, nil
	}
	begin := d.info.TimeOf(known[0])
	for i, at := range known {
		if !d.same(i, d.info.TimeOf(at)-begin) {
			return nil, nil
		}
	}
	return known, nil
}

// timesDiffer is how much times in the source and the output may differ: Matroska counts in milliseconds.
const timesDiffer = 3 * time.Millisecond

// same reports whether frame n has the same time in the output. at is its time after the first frame.
func (d *decoder) same(n int, at time.Duration) bool {
	return (at - d.info.TimeOf(d.pts[n]) + d.info.TimeOf(d.pts[0])).Abs() <= timesDiffer
}

// check makes sure that a frame is the same as when the output was made, by its time.
func (d *decoder) check(frame *media.Frame) error {
	if !d.same(frame.Index, frame.Time-d.begin) {
		return fmt.Errorf("%w: frame %d is at another time than it was", ErrMismatch, frame.Index)
	}
	return nil
}
