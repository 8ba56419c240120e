// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// What a comparison expects of an output's times is independent of the code that reads sources: the times come from
// ffprobe, and the rules, which docs/videos.md states, are implemented here a second time.
const (
	// unknownTime is the time of a frame for which the file has none.
	unknownTime = time.Duration(math.MinInt64)
	// lateness is how many later frames decide whether a time that leaps ahead is wrong.
	lateness = 4
	// leap is how far a time must leap ahead for that check.
	leap = time.Second
	// setBackBy is how far back a time must be for the source's clock to count as set back rather than the frame as out of
	// order.
	setBackBy = 500 * time.Millisecond
	// longestPause is the longest pause in an MPEG stream; a longer one is a clock that was set back.
	longestPause = 13*time.Hour + 15*time.Minute
)

// readTimes returns the times of a video's frames in presentation order, as ffprobe reads them from the file: all, or
// those before damage that makes ffprobe give up. It fails with ErrInterrupted, ErrIO, ErrUnreadable or ErrTool if
// something other than the file ends ffprobe, and with the context's error.
func (t Tools) readTimes(ctx context.Context, info Info) (times []time.Duration, err error) {
	f, err := info.openAgain()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-hide_banner", "-loglevel", "fatal"}, inputArgs(info.limits)...)
	args = append(args, "-select_streams", strconv.Itoa(info.StreamIndex), "-show_entries", "frame=best_effort_timestamp",
		"-of", "csv=p=0", "-i", inputURL)
	complaint, err := t.stream(ctx, t.FFprobe, args, streams{source: f}, info.limits.reading(), func(r io.Reader) error {
		lines := bufio.NewReaderSize(r, 64<<10)
		for {
			line, err := readLine(lines)
			if line = bytes.TrimRight(line, ","); len(line) > 0 {
				at := unknownTime
				if pts, err := strconv.ParseInt(string(line), 10, 64); err == nil {
					at = timeOf(pts, info.TimeBase)
				}
				times = append(times, at)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	switch {
	case ctx.Err() != nil:
		return nil, fileError(info.Path, context.Cause(ctx), "")
	case err != nil && passingFault(complaint, err) != nil:
		return nil, fileError(info.Path, passingFault(complaint, err), "reading its times: %s", describe(complaint, err))
	}
	return times, nil // compareFrames adds damage and missing times
}

// timing compares the times of the frames of a source with those of its output.
type timing struct {
	source    []time.Duration
	mpeg      bool // the source's clock wraps
	tolerance time.Duration

	started       bool
	shift         time.Duration // of the output's first frame relative to the source's
	top           time.Duration // latest time of the source since its clock was last set back
	moved, before time.Duration // what is added to the source's times since then, and what was added before
	last          time.Duration // previous time of the output
	candidate     time.Duration // moved according to the last frame that was out of order by more than setBackBy

	deviation time.Duration // the largest
	repaired  int           // frames whose time cannot be kept
	setBack   int           // how often the source's clock was set back
	timeless  int           // frames for which the source has no time
	first     string        // the first difference that is not expected
}

const noCandidate = time.Duration(math.MaxInt64)

// add compares frame n of the source with the frame of the output that shows it.
func (c *timing) add(n int, out time.Duration) {
	at := unknownTime
	if n < len(c.source) {
		at = c.source[n]
	}
	if at == unknownTime {
		c.timeless++
	}
	if !c.started {
		c.started, c.candidate = true, noCandidate
		if at != unknownTime {
			c.shift, c.top = out-at, at
		}
		c.last = out - c.shift
		return
	}
	got := out - c.shift
	defer func() { c.last = got }()
	if at == unknownTime {
		return // nothing to compare with
	}
	off := (got - at - c.moved).Abs()
	switch {
	case c.mpeg && at-c.top > longestPause:
		c.accept(at, got)
	case c.cannotKeep(n, at):
		c.repair(at, got)
	case off <= c.tolerance:
		c.deviation = max(c.deviation, off)
		c.top, c.candidate = at, noCandidate
	case (got - at - c.before).Abs() <= c.tolerance: // the clock was right again: those frames were only out of order
		c.moved, c.top, c.candidate = c.before, at, noCandidate
		c.setBack--
		c.repaired += 2
	default:
		c.differ(n, got, at)
	}
	if got <= c.last {
		c.first = firstOf(c.first, fmt.Sprintf("frame %d is not shown after the one before it", n))
	}
}

// cannotKeep reports whether a frame is not shown after all earlier frames, or is shown after later ones.
func (c *timing) cannotKeep(n int, at time.Duration) bool {
	if at <= c.top {
		return true
	}
	if at-c.top <= leap {
		return false
	}
	for _, later := range c.source[n+1 : min(n+1+lateness, len(c.source))] {
		if later != unknownTime && later > c.top && later < at {
			return true
		}
	}
	return false
}

// repair counts a frame whose time cannot be kept. Two in a row that move by the same amount follow a clock that was
// set back.
func (c *timing) repair(at, got time.Duration) {
	moved := got - at
	if at >= c.top-setBackBy {
		c.repaired++
		c.candidate = noCandidate
		return
	}
	if c.candidate != noCandidate && (moved-c.candidate).Abs() <= max(c.tolerance, timeRounding) {
		c.repaired--
		c.accept(at, got)
		return
	}
	c.candidate = moved
	c.repaired++
}

// accept continues from a clock that was set back.
func (c *timing) accept(at, got time.Duration) {
	c.before, c.moved = c.moved, got-at
	c.top, c.candidate = at, noCandidate
	c.setBack++
	if pause := got - c.last; pause > leap {
		c.first = firstOf(c.first, fmt.Sprintf("the clock is set back, and a pause of %s follows", seconds(pause)))
	}
}

func (c *timing) differ(n int, got, at time.Duration) {
	c.first = firstOf(c.first,
		fmt.Sprintf("frame %d is shown at %s instead of %s", n, seconds(got), seconds(at+c.moved)))
}

func firstOf(first, other string) string {
	if first == "" {
		return other
	}
	return first
}

// expected describes what cannot be the same as in the source, "" if nothing.
func (c *timing) expected() string {
	var said []string
	if c.timeless > 0 {
		said = append(said, fmt.Sprintf("%d frames of the source have no time", c.timeless))
	}
	if c.repaired > 0 {
		said = append(said, fmt.Sprintf("%d frames of the source have the time of an earlier frame, or are out of order",
			c.repaired))
	}
	if c.setBack > 0 {
		said = append(said, fmt.Sprintf("its clock is set back (%d x), where the output continues", c.setBack))
	}
	return strings.Join(said, "; ")
}
