// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// reorder is how far packets may be from their place in presentation order: more than any codec's B-frames cause.
const reorder = 64

// maxLate is longer than the span of frames that any of the encoders reorders.
const maxLate = time.Second

// verify fails unless the temporary file has as many frames as were written, at the same times, in the same size.
func (w *Writer) verify(ctx context.Context) error {
	limits := w.plan.info.limits
	limits.ProbeTimeout = time.Hour
	out, err := w.tools.Probe(ctx, w.temp, limits)
	if err != nil {
		return fmt.Errorf("the encoded video: %w", err)
	}
	if out.Width != w.plan.info.Width || out.Height != w.plan.info.Height {
		return fileError(w.temp, ErrVerification, "the encoded video has %d x %d pixels instead of %d x %d",
			out.Width, out.Height, w.plan.info.Width, w.plan.info.Height)
	}
	if e := w.extras; out.AudioStreams != e.audio || out.SubtitleStreams != e.subtitle || out.VideoStreams != 1 {
		return fileError(w.temp, ErrVerification,
			"the output has %d video, %d audio and %d subtitle streams instead of 1, %d and %d",
			out.VideoStreams, out.AudioStreams, out.SubtitleStreams, e.audio, e.subtitle)
	}
	f, _, err := openSource(w.temp)
	if err != nil {
		return err
	}
	check := timeCheck{
		want: w.times.reader(), planned: w.planned,
		from: w.plan.timeBase, to: out.TimeBase, late: w.plan.container.late,
	}
	args := append([]string{"-hide_banner", "-loglevel", "repeat+level+error"}, inputArgs(out.limits)...)
	args = append(args,
		"-select_streams", "v:0", "-show_entries", "packet=pts,dts,size", "-of", "csv=p=0", "-i", inputURL)
	complaint, err := w.tools.stream(ctx, w.tools.FFprobe, args, streams{source: f}, out.limits.reading(), check.read)
	switch {
	case context.Cause(ctx) != nil:
		return fileError(w.temp, context.Cause(ctx), "")
	case errors.Is(err, errTimes):
		return fileError(w.temp, ErrVerification, "the encoded video: %v", err)
	case err != nil:
		return fileError(w.temp, ErrTool, "the encoded video cannot be verified: %v", err)
	case complaint != "":
		return fileError(w.temp, ErrTool, "the encoded video cannot be verified: %s", tidy(complaint))
	}
	return nil
}

// errTimes means that another attempt would write the same frames at the same times again.
var errTimes = errors.New("its frames are not the ones that were written")

// timeCheck compares the packets of a file with the times that were written.
type timeCheck struct {
	want     *bufio.Reader
	wanted   timeLog
	planned  func(pts int64) int64 // when a frame should be shown, in units of from
	from, to Rational
	late     bool    // all frames may be shown later, by the same time of at most maxLate
	shift    int64   // that time, in units of to
	pending  []int64 // sorted
	n        int64
}

// read checks ffprobe's lines "pts,dts,size".
func (c *timeCheck) read(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			if err := c.packet(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for len(c.pending) > 0 {
		if err := c.next(); err != nil {
			return err
		}
	}
	if _, err := c.wanted.next(c.want); !errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends after %d frames", c.n) // another attempt may write it whole
	}
	return nil
}

func (c *timeCheck) packet(line []byte) error {
	fields := bytes.Split(line, []byte(","))
	if len(fields) < 3 {
		return fmt.Errorf("ffprobe says %q", line)
	}
	if string(fields[2]) == "0" { // AVI fills gaps with empty packets
		return nil
	}
	time := fields[0]
	if string(time) == "N/A" { // AVI has only decoding times, and no reordering
		time = fields[1]
	}
	pts, err := strconv.ParseInt(string(time), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: frame %d has no time", errTimes, c.n)
	}
	i, _ := slices.BinarySearch(c.pending, pts)
	c.pending = slices.Insert(c.pending, i, pts)
	if len(c.pending) > reorder {
		return c.next()
	}
	return nil
}

// next compares the earliest pending packet.
func (c *timeCheck) next() error {
	got := c.pending[0]
	c.pending = slices.Delete(c.pending, 0, 1)
	written, err := c.wanted.next(c.want)
	if err != nil {
		return fmt.Errorf("%w: it has more than the %d frames written", errTimes, c.n)
	}
	want := rescale(c.planned(written), c.from, c.to)
	if c.n == 0 && c.late {
		c.shift = min(max(0, got-want), rescale(int64(maxLate), nanosecond, c.to))
	}
	want += c.shift
	if diff := got - want; diff > 1 || diff < -1 || diff != 0 && c.from == c.to {
		return fmt.Errorf("%w: frame %d is shown at %d instead of %d (in units of %d/%d s)",
			errTimes, c.n, got, want, c.to.Num, c.to.Den)
	}
	c.n++
	return nil
}

// timeLog keeps the PTS of all frames as variable-length differences, one or two bytes each.
type timeLog struct {
	deltas []byte
	last   int64
}

func (l *timeLog) add(pts int64) {
	l.deltas = binary.AppendVarint(l.deltas, pts-l.last)
	l.last = pts
}

func (l *timeLog) reader() *bufio.Reader { return bufio.NewReader(bytes.NewReader(l.deltas)) }

// next reads the next time from the reader of another log; it fails with io.EOF after the last one.
func (l *timeLog) next(r io.ByteReader) (int64, error) {
	delta, err := binary.ReadVarint(r)
	l.last += delta
	return l.last, err
}
