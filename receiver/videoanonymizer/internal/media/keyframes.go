// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

const (
	// thumbSide is the width and height of a thumbnail, in cells.
	thumbSide = 16
	// cellSamples is how many samples are read along each side of a cell.
	cellSamples = 8
	// sameThumb is how far apart, in gray levels, the cells of two thumbnails of the same frame may be on average. For
	// noise, encoded as badly as x264 can, that is 7, since only samples of the frame are averaged; different frames are
	// far above (TestKeyFramesAreWhatWasWritten).
	sameThumb = 12
	// maxKeyFrames is how many key frames of a segment are compared, the first ones: some codecs have only key frames.
	maxKeyFrames = 12
)

// thumbnail is the luma of a frame, in 8 bits, very small.
type thumbnail [thumbSide * thumbSide]uint8

// thumbnailOf averages samples that are spread evenly over each cell.
func thumbnailOf(frame *Frame) (t thumbnail) {
	p, wide := &frame.Planes[0], frame.Format.BytesPerSample() == 2
	at := func(i, n int) int { return (2*i + 1) * n / (2 * thumbSide * cellSamples) }
	var columns [thumbSide * cellSamples]int
	for i := range columns {
		columns[i] = at(i, p.Width)
	}
	var sums [thumbSide]int
	for row := range thumbSide * cellSamples {
		line := at(row, p.Height) * p.Width
		for i, column := range columns {
			value := 0
			if wide {
				value = (int(p.Data[2*(line+column)]) | int(p.Data[2*(line+column)+1])<<8) >> (frame.Format.Depth - 8)
			} else {
				value = int(p.Data[line+column])
			}
			sums[i/cellSamples] += value
		}
		if row%cellSamples == cellSamples-1 {
			for i, sum := range sums {
				t[row/cellSamples*thumbSide+i] = uint8(sum / (cellSamples * cellSamples))
			}
			sums = [thumbSide]int{}
		}
	}
	return t
}

// distance is the mean distance between the cells, in gray levels.
func (t *thumbnail) distance(other *thumbnail) float64 {
	sum := 0
	for i := range t {
		sum += max(int(t[i])-int(other[i]), int(other[i])-int(t[i]))
	}
	return float64(sum) / float64(len(t))
}

// keyFrames compares what segments show with what was written to them.
type keyFrames struct {
	times  []int64 // of the frames of the current segment, as stored in it
	thumbs []thumbnail

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	err     error // all of them, joined
}

// CompareKeyFrames makes the writer decode some key frames of each segment that it writes from now on, and compare them
// with the frames that it got, in the background.
func (w *Writer) CompareKeyFrames() {
	w.keys = &keyFrames{}
	w.keys.ctx, w.keys.cancel = context.WithCancel(w.ctx)
}

// Compared waits until all finished segments are compared. CompareKeyFrames must have been called. Compared fails if
// they do not show what was written to them, or if that could not be determined.
func (w *Writer) Compared() error {
	w.keys.running.Wait()
	w.keys.mu.Lock()
	defer w.keys.mu.Unlock()
	return w.keys.err
}

// add records a frame that was written.
func (k *keyFrames) add(frame *Frame, pts int64) {
	if k != nil {
		k.times, k.thumbs = append(k.times, pts), append(k.thumbs, thumbnailOf(frame))
	}
}

// compare starts comparing a segment that was finished.
func (k *keyFrames) compare(t Tools, path string, limits Limits) {
	if k == nil {
		return
	}
	c := comparison{times: k.times, thumbs: k.thumbs}
	k.times, k.thumbs = nil, nil
	k.running.Go(func() {
		if err := c.run(k.ctx, t, path, limits); err != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.err = errors.Join(k.err, fileError(path, ErrVerification, "its key frames: %v", err))
		}
	})
}

// close ends comparisons that are still running.
func (k *keyFrames) close() {
	if k != nil {
		k.cancel()
		k.running.Wait()
	}
}

// comparison compares one segment.
type comparison struct {
	times  []int64
	thumbs []thumbnail
	shown  []int64 // times of the key frames
}

func (c *comparison) run(ctx context.Context, t Tools, path string, limits Limits) error {
	segment, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		_ = segment.Close()
		return err
	}
	defer func() { _ = stdout.Close() }()
	args := append([]string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info", "-copyts",
		"-threads", "1", "-skip_frame", "nokey"}, inputArgs(limits)...)
	args = append(args, "-i", inputURL, "-map", "0:v:0", "-frames:v", strconv.Itoa(maxKeyFrames),
		"-filter:v", fmt.Sprintf("showinfo=checksum=0,extractplanes=y,scale=%d:%d:flags=area:in_range=pc:out_range=pc,"+
			"format=gray", thumbSide, thumbSide),
		"-fps_mode", "passthrough", "-c:v", "rawvideo", "-f", "rawvideo", "pipe:1")
	decoder, err := t.start(ctx, t.FFmpeg, args, streams{stdout: stdoutEnd, source: segment}, limits.reading(), c.onLine)
	if err != nil {
		return err
	}
	pipe := childPipe{decoder, stdout}
	go pipe.bound()
	decoded, err := io.ReadAll(io.LimitReader(pipe, maxKeyFrames*int64(len(thumbnail{}))))
	if err = errors.Join(err, decoder.wait()); err != nil {
		text, _ := decoder.complaints()
		return errors.New(describe(text, err))
	}
	return c.judge(decoded)
}

// onLine records the times of the key frames.
func (c *comparison) onLine(line []byte) bool {
	s, ours, frame := parseShown(line)
	if frame && s.hasPTS {
		c.shown = append(c.shown, s.pts)
	}
	return ours
}

// judge compares the decoded thumbnails, which follow one another, with what was written at the same times.
func (c *comparison) judge(decoded []byte) error {
	n := len(decoded) / len(thumbnail{})
	if n == 0 || n > len(c.shown) {
		return fmt.Errorf("%d frames can be decoded, but there are %d times", n, len(c.shown))
	}
	for i, at := range c.shown[:n] {
		written, found := slices.BinarySearch(c.times, at)
		if !found {
			return fmt.Errorf("one is shown at %d, where none was written", at)
		}
		got := thumbnail(decoded[i*len(thumbnail{}):][:len(thumbnail{})])
		if d := got.distance(&c.thumbs[written]); d > sameThumb {
			return fmt.Errorf("frame %d of the segment differs by %.0f gray levels from what was written", written, d)
		}
	}
	return nil
}
