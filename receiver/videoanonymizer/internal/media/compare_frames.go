// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// side is one of the two compared files.
type side struct {
	info     Info
	contents contents
	reader   *Reader
	times    []time.Duration // of the frames, as ffprobe reads them

	frames      int
	first, last time.Duration // times of the first and last frame
}

func (t Tools) side(ctx context.Context, path string) (*side, error) {
	info, err := t.Probe(ctx, path, Limits{})
	if err != nil {
		return nil, err
	}
	s := &side{info: info}
	if s.contents, err = t.contents(ctx, info); err != nil {
		return nil, err
	}
	if s.times, err = t.readTimes(ctx, info); err != nil {
		return nil, err
	}
	s.reader, err = t.Open(ctx, info, ReadOptions{Salvage: true})
	return s, err
}

// next returns nil after the last frame that can be decoded, even if damage follows it.
func (s *side) next() (*Frame, error) {
	f, err := s.reader.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrDamaged):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if s.frames == 0 {
		s.first = f.Time
	}
	s.frames, s.last = s.frames+1, f.Time
	return f, nil
}

// unread describes how many times of frames ffprobe did not read, "" if none. If parts do not decode, it may give up
// earlier than the decoder, which does not count.
func (s *side) unread() string {
	if len(s.times) >= s.frames || s.reader.Damage() != nil {
		return ""
	}
	return fmt.Sprintf("ffprobe reads the times of %d of the %d frames of %s", len(s.times), s.frames, s.info.Path)
}

// timeOf is when the file shows a frame.
func (s *side) timeOf(f *Frame) time.Duration {
	if f.Index < len(s.times) && s.times[f.Index] != unknownTime {
		return s.times[f.Index]
	}
	return f.Time
}

// advance releases a frame and replaces it with the next one.
func (s *side) advance(f **Frame) (err error) {
	if *f != nil {
		(*f).Release()
	}
	*f, err = s.next()
	return err
}

// duration is the video stream's duration as the file states it, or else as counted from the frames. A stated duration
// that ends before the last frame does not count: the MOV family measures on the decoding clock.
func (s *side) duration() time.Duration {
	stated := s.info.Duration
	if strings.HasPrefix(s.info.Container, "matroska") { // its durations count from zero
		stated -= s.first
	}
	if !s.info.ownDuration || stated < s.last-s.first || s.reader.Damage() != nil ||
		s.reader.repairs.ClockSteps > 0 {
		return s.last - s.first + timeOf(framePeriod(s.info), s.info.TimeBase)
	}
	return stated
}

// rate is the mean number of frames per second.
func (s *side) rate() float64 {
	if s.frames < 2 || s.last <= s.first {
		return s.info.FrameRate.Float()
	}
	return float64(s.frames-1) / (s.last - s.first).Seconds()
}

// timeRounding is how much times may differ between files of different time bases.
const timeRounding = time.Millisecond

// pairing reads both files, and pairs the frames that are shown at the same time. A frame without a partner is left
// out, so that one dropped frame does not make all later ones look changed.
type pairing struct {
	src, out *side
	pixels   *pixelComparison

	shift   time.Duration // of the output's first frame relative to the source's
	timing  timing
	missing int // frames of the source without a partner
	added   int // frames of the output without a partner
}

func (p *pairing) run() error {
	var a, b *Frame // of source and output
	defer func() {
		for _, f := range []*Frame{a, b} {
			if f != nil {
				f.Release()
			}
		}
	}()
	if err := errors.Join(p.src.advance(&a), p.out.advance(&b)); err != nil {
		return err
	}
	if a != nil && b != nil {
		p.shift = b.Time - a.Time
	}
	p.timing = timing{source: p.src.times, mpeg: strings.HasPrefix(p.src.info.Container, "mpeg"), tolerance: p.tolerance()}
	previous := time.Duration(math.MinInt64 / 2) // the time of the source's previous frame
	for a != nil || b != nil {
		var off time.Duration
		if a != nil && b != nil {
			off = b.Time - a.Time - p.shift
		}
		reach := p.reach(a, previous)
		var err error
		switch {
		case b == nil || a != nil && off > reach:
			p.differ("frame %d, shown at %s, is missing", a.Index, seconds(a.Time))
			p.missing++
			previous = a.Time
			err = p.src.advance(&a)
		case a == nil || off < -reach:
			p.differ("frame %d, shown at %s, is not in the source", b.Index, seconds(b.Time))
			p.added++
			err = p.out.advance(&b)
		default:
			p.timing.add(a.Index, p.out.timeOf(b))
			p.pixels.add(a, b)
			previous = a.Time
			err = errors.Join(p.src.advance(&a), p.out.advance(&b))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reach is how far apart frames can be shown and still be a pair: beyond that, another frame is nearer.
func (p *pairing) reach(a *Frame, previous time.Duration) time.Duration {
	reach := timeOf(max(1, framePeriod(p.src.info)), p.src.info.TimeBase) / 2
	if a != nil {
		reach = min(reach, (a.Time-previous)/2)
	}
	return max(reach, timeRounding)
}

// tolerance is how far apart frames can be shown and still count as shown at the same time.
func (p *pairing) tolerance() time.Duration {
	if p.src.info.TimeBase == p.out.info.TimeBase {
		return 0
	}
	return timeRounding
}

// differ notes the first difference.
func (p *pairing) differ(format string, args ...any) {
	p.timing.first = firstOf(p.timing.first, fmt.Sprintf(format, args...))
}

// mustShift reports whether the container requires the shift: AVI begins at zero, others hide what is shown before
// zero, and MPEG-TS may begin a little later.
func (p *pairing) mustShift() bool {
	container, _ := findContainer(ContainerFor(p.out.info.Path))
	return p.out.first.Abs() <= timeRounding && (p.src.first < 0 || container.fromZero || p.src.info.wallClock()) ||
		container.late && p.timing.shift > 0 && p.timing.shift <= maxLate
}

// compareFrames adds damage, the number of frames and their times.
func (c *Comparison) compareFrames(p *pairing) {
	src, out := p.src, p.out
	damage := func(r *Reader) string {
		if r.Damage() == nil {
			return "none"
		}
		return tidy(cmp.Or(r.faults.text(), r.faults.lossText()))
	}
	v := Same
	switch {
	case out.reader.Damage() != nil:
		v = Differs
	case src.reader.Damage() != nil:
		v = Expected
	}
	c.add("damage", damage(src.reader), damage(out.reader), v)
	c.addEqual("frames", fmt.Sprint(src.frames), fmt.Sprint(out.frames))
	text, v := p.times()
	c.add("times of frames", fmt.Sprintf("%s to %s", seconds(src.first), seconds(src.last)), text, v)

	period := timeOf(max(1, framePeriod(src.info)), src.info.TimeBase)
	c.add("duration", seconds(src.duration()), seconds(out.duration()),
		sameOr(Differs, (src.duration()-out.duration()).Abs() <= max(period, timeRounding)))
	c.add("mean frame rate", fmt.Sprintf("%.3f", src.rate()), fmt.Sprintf("%.3f", out.rate()),
		sameOr(Differs, math.Abs(src.rate()-out.rate()) <= src.rate()/1000))
}

// times describes how the times of the output's frames differ from the source's.
func (p *pairing) times() (string, Verdict) {
	unread := firstOf(p.src.unread(), p.out.unread())
	switch {
	case unread != "":
		return unread, Differs
	case p.timing.first != "":
		text := "first difference: " + p.timing.first
		if p.missing+p.added > 1 {
			text += fmt.Sprintf("; %d missing, %d added in total", p.missing, p.added)
		}
		return text, Differs
	case p.timing.shift.Abs() > p.tolerance():
		text := fmt.Sprintf("all shifted by %+.6f s", p.timing.shift.Seconds())
		if expected := p.timing.expected(); expected != "" {
			text += ", and " + expected
		}
		if p.mustShift() {
			return text, Expected
		}
		return text, Differs
	case p.timing.expected() != "":
		return "each the same, but " + p.timing.expected(), Expected
	case p.timing.deviation > 0:
		return fmt.Sprintf("same except for rounding, at most %s", seconds(p.timing.deviation)), Same
	}
	return "each the same", Same
}
