// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"strings"
	"time"
)

const (
	// clockStep is how far a time must be before an earlier one for the source's clock to count as set back, rather than
	// the time as wrong.
	clockStep = 500 * time.Millisecond
	// wrapStep is half the period of the clock of MPEG streams, which wraps after 2^33 / 90,000 s = 26.5 h (ISO/IEC
	// 13818-1, 2.4.3.6). A longer step forward is a step back that ffmpeg took for a wrap.
	wrapStep = (1 << 32) * time.Second / 90_000
	// suspectStep is a step forward after which the next frames are inspected: the time may be wrong.
	suspectStep = time.Second
	// suspectAhead is how many of these frames are inspected.
	suspectAhead = 4
	// maxAhead and aheadMemory bound, in frames and in bytes, how far ahead a Reader looks to repair a time.
	maxAhead    = 16
	aheadMemory = 256 << 20
)

// Repairs count the frames of a source whose times could not be kept, since times must increase.
type Repairs struct {
	// Times is the number of frames that were shown at the time of an earlier frame, or out of order: they are shown
	// between their neighbors, which keep their times.
	Times int `json:"times_repaired"`
	// ClockSteps is how often the source's clock was set back, for example where two recordings are joined. The video
	// continues there after one mean frame period.
	ClockSteps int `json:"clock_steps"`
}

// Add returns the sum of both.
func (r Repairs) Add(other Repairs) Repairs {
	return Repairs{Times: r.Times + other.Times, ClockSteps: r.ClockSteps + other.ClockSteps}
}

// String says what was repaired, "" if nothing was.
func (r Repairs) String() string {
	var said []string
	if r.Times > 0 {
		said = append(said, fmt.Sprintf("%d frames had the time of an earlier frame, or were out of order", r.Times))
	}
	if r.ClockSteps > 0 {
		said = append(said, fmt.Sprintf("the clock was set back (%d x)", r.ClockSteps))
	}
	return strings.Join(said, "; ")
}

// clock turns the times that a decoder announces into times that increase from frame to frame. All its times are in
// units of the source's time base.
type clock struct {
	period  int64 // mean time between frames, 0 if unknown
	step    int64 // clockStep
	wrap    int64 // wrapStep, 0 if the source's clock does not wrap
	suspect int64 // suspectStep, or 10 frame periods if they are longer

	started bool
	last    int64   // time of the previous frame, as returned
	valid   int64   // last announced time that was not out of order, plus offset
	offset  int64   // added to announced times to get returned ones
	planned []int64 // times of the next frames, if they are decided
	repairs Repairs // of the frame whose time next returned last
}

func newClock(info Info) clock {
	units := func(d time.Duration) int64 { return max(1, rescale(int64(d), nanosecond, info.TimeBase)) }
	c := clock{period: framePeriod(info), step: units(clockStep)}
	if strings.HasPrefix(info.Container, "mpeg") {
		c.wrap = units(wrapStep)
	}
	c.suspect = max(units(suspectStep), 10*c.period)
	return c
}

// next returns the time of the next frame. ahead returns what is announced about the i-th frame after it, from 0, as
// far as that is known.
func (c *clock) next(s shown, ahead func(i int) (shown, bool)) int64 {
	c.repairs = Repairs{}
	if len(c.planned) > 0 {
		return c.takePlanned()
	}
	at := s.pts + c.offset
	switch {
	case !c.started:
		c.started, c.valid = true, at
	case !s.hasPTS:
		at = c.last + max(1, c.period)
	case at <= c.valid:
		at = c.back(at, ahead)
	case at-c.valid > c.suspect:
		at = c.forward(at, ahead)
	default:
		at = c.keep(at)
	}
	c.last = at
	return at
}

// keep returns a valid time. If a repaired time is not before it, the frame is shown shortly after the repaired time,
// so that the source's times are soon reached again.
func (c *clock) keep(at int64) int64 {
	c.valid = at
	if at > c.last {
		return at
	}
	c.repairs.Times++
	return c.last + c.shortly()
}

func (c *clock) shortly() int64 { return max(1, c.period/8) }

// back returns the time of a frame that is shown at the time of an earlier one, or before it.
func (c *clock) back(at int64, ahead func(i int) (shown, bool)) int64 {
	previous := at
	for i := 0; ; i++ {
		s, ok := ahead(i)
		if !ok {
			break
		}
		following := s.pts + c.offset
		if !s.hasPTS || following <= c.valid {
			if s.hasPTS {
				previous = following
			}
			continue
		}
		// A clock that was set back overtakes the earlier times without a leap.
		if c.valid-at > c.step && following-previous <= 2*max(1, c.period) {
			break
		}
		return c.between(i+1, following)
	}
	if c.valid-at > c.step {
		return c.setBack(at)
	}
	c.repairs.Times++
	return c.last + max(1, c.period)
}

// forward returns the time of a frame that is shown long after the previous one: this may be a pause, or the time is
// wrong, and later frames are shown before it.
func (c *clock) forward(at int64, ahead func(i int) (shown, bool)) int64 {
	valid := func(s shown, ok bool, after int64) bool {
		return ok && s.hasPTS && s.pts+c.offset > after && s.pts+c.offset < at
	}
	for i := range suspectAhead {
		s, ok := ahead(i)
		if !ok {
			break
		}
		if !valid(s, ok, c.valid) {
			continue
		}
		if second, ok := ahead(i + 1); !ok || valid(second, ok, s.pts+c.offset) {
			return c.between(i+1, s.pts+c.offset)
		}
	}
	if c.wrap > 0 && at-c.valid > c.wrap {
		return c.setBack(at)
	}
	return c.keep(at)
}

// between plans the times of the next n frames evenly up to a valid time, and returns the first.
func (c *clock) between(n int, until int64) int64 {
	at := c.last
	for i := range n {
		even := c.last + int64(float64(until-c.last)*float64(i+1)/float64(n+1))
		if even <= at {
			even = at + c.shortly()
		}
		at = even
		c.planned = append(c.planned, at)
	}
	return c.takePlanned()
}

// takePlanned returns the next planned time.
func (c *clock) takePlanned() int64 {
	c.last, c.planned = c.planned[0], c.planned[1:]
	c.repairs.Times++
	return c.last
}

// setBack continues after one mean period, and counts all further times from there.
func (c *clock) setBack(at int64) int64 {
	c.repairs.ClockSteps++
	continued := c.last + max(1, c.period)
	c.offset += continued - at
	c.valid = continued
	return continued
}
