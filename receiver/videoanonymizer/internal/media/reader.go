// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// defaultStall is much longer than the slowest frame takes, and much shorter than a night.
	defaultStall = 5 * time.Minute
	// maxShown is how many frames may be announced before their pixels are read. ffmpeg is at most a few dozen frames
	// ahead.
	maxShown = 1024
	// missingSeconds is how much of a video's duration, as its headers state it, may be missing before the video counts
	// as truncated: headers round, and include the time for which the last frame is shown.
	missingSeconds = 1.0
)

// Reader decodes one video. Next must be called by one goroutine; Damage and Close may be called by any goroutine at
// any time.
type Reader struct {
	ctx    context.Context
	info   Info
	opts   ReadOptions
	child  *child
	stdout *os.File
	shown  chan shown // closed when the decoder's stderr ends
	pool   pool
	timer  *time.Timer

	index       int
	first, last int64        // PTS of the first frame and of the previous one
	clock       clock        // turns announced times into PTS
	repairs     Repairs      // of all frames so far
	ahead       []ahead      // frames decoded, but not yet returned
	decoded     int          // frames so far
	ending      func() error // returns why no frame follows these; nil if one may
	known       []int64      // PTS of the frames that an earlier reader read
	pending     *Frame       // what Next returns next
	err         error        // error that ended Next
	faults      faults

	reading   sync.Mutex // held by Next
	closing   chan struct{}
	closeOnce sync.Once
}

// Open starts the decoder for a video that Probe described. It fails with ErrVanished if the path names another file by
// now, with the other causes of Probe if the file cannot be opened, or with ErrTool. The reader ends when ctx does.
func (t Tools) Open(ctx context.Context, info Info, opts ReadOptions) (*Reader, error) {
	opts.Stall = cmp.Or(opts.Stall, defaultStall)
	opts.strict = t.decoders[info.Codec]
	f, err := info.openAgain()
	if err != nil {
		return nil, err
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		_ = f.Close()
		return nil, fileError(info.Path, ErrTool, "%v", err)
	}
	enlargePipe(stdout)
	r := &Reader{
		ctx: ctx, info: info, opts: opts, stdout: stdout,
		shown:   make(chan shown, maxShown),
		timer:   time.NewTimer(opts.Stall),
		faults:  newFaults(info, opts),
		clock:   newClock(info),
		closing: make(chan struct{}),
	}
	s := streams{stdout: stdoutEnd, source: f}
	r.child, err = t.start(ctx, t.FFmpeg, decodeArgs(info, opts), s, opts.bounds(info.limits), r.onLine)
	if err != nil {
		_ = stdout.Close()
		return nil, fileError(info.Path, ErrTool, "%v", err)
	}
	go func() {
		<-r.child.exited // stderr was read to its end
		close(r.shown)
	}()
	return r, nil
}

// onLine handles a line of the decoder's stderr.
func (r *Reader) onLine(line []byte) bool {
	s, ours, frame := parseShown(line)
	if frame {
		r.faults.sawFrame()
		select {
		case r.shown <- s:
		case <-r.closing:
		}
		return true
	}
	if !ours {
		r.faults.add(line)
	}
	return ours
}

// Next returns the next frame in presentation order; the caller owns it until it calls Release. The frame's memory
// comes from a pool that grows to the number of frames held at once. Where the source's times do not increase, they are
// repaired: see Frame.Repairs. Next fails with io.EOF after a complete video, and otherwise with ErrDamaged,
// ErrUnreadable, ErrIO, ErrUnsupported, ErrLimit, ErrStalled, ErrResume, ErrInterrupted, ErrTool or the context's
// error; further calls return the same error.
func (r *Reader) Next() (*Frame, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	if f := r.pending; f != nil {
		r.pending = nil
		return f, nil
	}
	f, err := r.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	return f, nil
}

func (r *Reader) next() (*Frame, error) {
	if err := r.refuse(); err != nil {
		return nil, err
	}
	if !r.decode(1) {
		return nil, r.ending()
	}
	pts := r.clock.next(r.ahead[0].shown, r.peek)
	f := r.ahead[0].frame
	r.ahead = r.ahead[1:]
	f.Index, f.PTS, f.Repairs, f.FullRange = r.index, pts, r.clock.repairs, r.info.FullRange
	r.repairs = r.repairs.Add(f.Repairs)
	f.Time = timeOf(f.PTS, r.info.TimeBase)
	if r.index == 0 {
		r.first = f.PTS
	}
	if err := r.checkTime(f); err != nil {
		f.Release()
		return nil, err
	}
	r.index, r.last = r.index+1, f.PTS
	return f, nil
}

// checkTime fails if a frame has a time that it must not have.
func (r *Reader) checkTime(f *Frame) error {
	if r.opts.OneClock && r.repairs.ClockSteps > 0 {
		return fileError(r.info.Path, ErrUnsupported, "its clock is set back after %s, where copied audio, subtitles "+
			"and chapters would lose their place: use output::audio drop or mute, and leave these out of output::keep",
			timeOf(r.last, r.info.TimeBase))
	}
	return r.checkKnown(f)
}

// ahead is a frame whose PTS is not yet decided.
type ahead struct {
	frame *Frame
	shown shown
}

// peek returns what is announced about the i-th frame after the next one, from 0, as far as memory allows looking
// ahead.
func (r *Reader) peek(i int) (shown, bool) {
	size := r.info.Format.FrameBytes(r.info.Width, r.info.Height)
	if i >= min(maxAhead, max(2, aheadMemory/size)) || !r.decode(i+2) {
		return shown{}, false
	}
	return r.ahead[i+1].shown, true
}

// decode reads frames until n are ahead. It returns false if there are fewer, and then ending returns why.
func (r *Reader) decode(n int) bool {
	for len(r.ahead) < n {
		if r.ending != nil {
			return false
		}
		s, ok := r.nextShown()
		if !ok {
			return false
		}
		f, err := r.pool.get(r.info.Format, r.info.Width, r.info.Height)
		if err != nil {
			r.ending = func() error { return fmt.Errorf("%q: %w", r.info.Path, err) }
			return false
		}
		_ = r.stdout.SetReadDeadline(time.Now().Add(r.opts.Stall))
		if _, err := io.ReadFull(r.stdout, f.buffer[headRoom:]); err != nil {
			f.Release()
			r.ending = func() error { return r.ended(true) }
			if errors.Is(err, os.ErrDeadlineExceeded) {
				r.ending = r.stalled
			}
			return false
		}
		r.ahead = append(r.ahead, ahead{f, s})
		r.decoded++
	}
	return true
}

// refuse returns why no further frame may be read, or nil.
func (r *Reader) refuse() error {
	if err := context.Cause(r.ctx); err != nil {
		return fileError(r.info.Path, err, "")
	}
	if err := r.passingFault(); err != nil {
		return err
	}
	if !r.opts.Salvage {
		if err := r.damage(r.faults.text()); err != nil {
			return err
		}
	}
	if int64(r.index) >= r.info.limits.MaxFrames {
		return fileError(r.info.Path, ErrLimit, "more than %d frames", r.info.limits.MaxFrames)
	}
	return nil
}

// nextShown waits until the decoder announces the next frame. It returns false, and sets ending, if none is announced.
func (r *Reader) nextShown() (shown, bool) {
	r.timer.Reset(r.opts.Stall)
	select {
	case s, ok := <-r.shown:
		if !ok {
			r.ending = func() error { return r.ended(false) }
		}
		return s, ok
	case <-r.closing:
		r.ending = func() error { return fileError(r.info.Path, os.ErrClosed, "") }
	case <-r.timer.C:
		r.ending = r.stalled
	}
	return shown{}, false
}

func (r *Reader) stalled() error {
	return fileError(r.info.Path, ErrStalled, "no frame from the decoder for %s after frame %d", r.opts.Stall, r.index)
}

// framePeriod is the mean time between frames in units of the time base, 0 if unknown.
func framePeriod(info Info) int64 {
	unit := info.FrameRate.Float() * info.TimeBase.Float()
	if unit <= 0 {
		return 0
	}
	return int64(1/unit + 0.5)
}

// ended returns why there are no more frames; cut means that the last one was incomplete.
func (r *Reader) ended(cut bool) error {
	select {
	case <-r.closing:
		return fileError(r.info.Path, os.ErrClosed, "")
	default:
	}
	err := r.child.wait()
	text, _ := r.child.complaints()
	passed := r.passingFault()
	switch {
	case context.Cause(r.ctx) != nil:
		return fileError(r.info.Path, context.Cause(r.ctx), "")
	case passed != nil:
		return passed
	case errors.As(err, new(overLimit)):
		return fileError(r.info.Path, ErrLimit, "%v, decoding; it ended after frame %d", err, r.index)
	case passingFault(text, err) != nil:
		return fileError(r.info.Path, passingFault(text, err), "the decoder ended with %v after frame %d: %s",
			err, r.index, tidy(text))
	case err != nil && r.index == 0:
		return fileError(r.info.Path, openCause(text, err), "%s", describe(text, err))
	}
	if err != nil {
		r.faults.record(fmt.Sprintf("the decoder gave up after frame %d: %s", r.index, describe(text, err)))
	} else if cut {
		r.faults.record(fmt.Sprintf("the decoder ended in the middle of frame %d", r.index))
	} else if missing := r.missing(); missing != "" {
		r.faults.record(missing)
	}
	r.faults.endLoss(int64(r.index))
	if err := r.damage(r.faults.text()); err != nil && (!r.opts.Salvage || r.index == 0) {
		return err
	}
	return io.EOF
}

// missing describes what the file's headers promise and its frames do not deliver, or returns "". Decoders do not
// complain if a file ends between two frames.
func (r *Reader) missing() string {
	if r.index == 0 {
		return "no frame can be decoded"
	}
	seconds := (r.info.Duration - r.duration()).Seconds()
	short := r.info.Duration > 0 && seconds > max(missingSeconds, 0.02*r.info.Duration.Seconds())
	// An index may count frames that an edit list hides, and the last frame may be shown for long: both must fall short.
	if r.info.indexedFrames > 0 {
		short = short && int64(r.index) < r.info.indexedFrames
	} else if !r.info.ownDuration && r.info.AudioStreams > 0 {
		short = false // the file's duration may be that of its audio
	}
	if !short {
		return ""
	}
	return fmt.Sprintf("its headers state %.1f s of video, but it ends after %.1f s, %d frames",
		r.info.Duration.Seconds(), r.duration().Seconds(), r.index)
}

// duration returns the duration of the frames so far, measured like Info.Duration: by the source's clock or, if it was
// set back, by the times of the frames.
func (r *Reader) duration() time.Duration {
	end := max(r.last, r.last-r.clock.offset) + framePeriod(r.info)
	if strings.HasPrefix(r.info.Container, "matroska") { // its durations count from zero
		return timeOf(end, r.info.TimeBase)
	}
	return timeOf(end-r.first, r.info.TimeBase)
}

// Damage returns what has not decoded so far, as ErrDamaged, or nil: with ReadOptions.Salvage any damage, and otherwise
// only lost packets, which may leave frames incomplete.
func (r *Reader) Damage() error { return r.damage(cmp.Or(r.faults.text(), r.faults.lossText())) }

func (r *Reader) damage(text string) error {
	switch {
	case text == "":
		return nil
	case r.opts.Salvage:
		return fileError(r.info.Path, ErrDamaged, "%s", tidy(text))
	}
	return fileError(r.info.Path, ErrDamaged, "%s (on_damaged: salvage keeps what decodes)", tidy(text))
}

// passingFault returns a failure that is not the file's fault, such as one of the decoding device, or nil.
func (r *Reader) passingFault() error {
	text, cause := r.faults.failure()
	if cause == nil {
		return nil
	}
	return fileError(r.info.Path, cause, "decoder %s: %s", cmp.Or(r.opts.Decoder, Software), tidy(text))
}

// Decoded returns how many frames were decoded so far, including those that were skipped after seeking and those that
// Next has not returned yet.
func (r *Reader) Decoded() int {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.decoded
}

// Close ends the decoder and waits for it, promptly. Frames that Next returned stay valid. It may be called twice.
func (r *Reader) Close() {
	r.closeOnce.Do(func() {
		close(r.closing)
		r.child.kill()
		_ = r.stdout.SetReadDeadline(time.Unix(1, 0)) // wakes Next, which then sees closing
		_ = r.child.wait()
		_ = r.stdout.Close()
		r.timer.Stop()
		r.reading.Lock()
		defer r.reading.Unlock()
		if r.pending != nil {
			r.pending.Release()
		}
		for _, a := range r.ahead {
			a.frame.Release()
		}
		r.pool.close()
	})
}
