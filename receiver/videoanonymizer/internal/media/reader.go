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
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// defaultStall is long beside the slowest frame, and short beside a night.
	defaultStall = 5 * time.Minute
	// maxShown is how many frames may be announced before their pixels are read. ffmpeg is at most some dozens ahead.
	maxShown = 1024
	// missingSeconds is how much of a video's announced length may be missing at its end before it counts as truncated:
	// headers round, and count a last frame's time on the screen.
	missingSeconds = 1.0
)

// ReadOptions say how to decode. The zero value serves.
type ReadOptions struct {
	// Threads of the decoder; 0 lets ffmpeg choose.
	Threads int
	// Decoder is "software" (default), "cuda" or "vaapi". What its device does not decode, the processor does.
	Decoder string
	// Device is the path of vaapi's; "" is DefaultVAAPIDevice.
	Device string
	// Salvage goes on where something does not decode, and ends with io.EOF; Reader.Damage tells what was wrong.
	// Otherwise damage ends the video with ErrDamaged.
	Salvage bool
	// Stall is how long Next waits for a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration

	from   time.Duration   // since the file's beginning; what is shown before is left out
	around []time.Duration // frames that are not close to these presentation times are decoded and left out; nil: none are

	_ struct{}
}

// Reader decodes one video. Next is for one goroutine; Damage and Close may be called from any, at any time.
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
	first, last int64   // PTS of the first frame and of the one before
	known       []int64 // PTS of the frames that were read in an earlier run
	pending     *Frame  // comes next
	err         error   // what Next ended with
	faults      faults

	closing   chan struct{}
	closeOnce sync.Once
}

// Open starts the decoder for a video that Probe described. It fails with ErrVanished if another file stands there now.
// The reader ends when ctx does.
func (t Tools) Open(ctx context.Context, info Info, opts ReadOptions) (*Reader, error) {
	opts.Stall = cmp.Or(opts.Stall, defaultStall)
	f, id, err := openSource(info.Path)
	if err != nil {
		return nil, err
	}
	if id != info.id {
		_ = f.Close()
		return nil, fileError(info.Path, ErrVanished, "it changed since it was looked at")
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
		faults:  faultsOf(info, opts),
		closing: make(chan struct{}),
	}
	r.child, err = start(ctx, t.FFmpeg, decodeArgs(info, opts), streams{stdout: stdoutEnd, extra: []*os.File{f}}, opts.bounds(info.limits), r.onLine)
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

// decodeArgs make ffmpeg write each frame of the video stream, upright, once, in the format of info, to its stdout, and
// each frame's time to its stderr.
func decodeArgs(info Info, opts ReadOptions) []string {
	args := append([]string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info", "-copyts",
		"-threads", strconv.Itoa(opts.threads())}, inputArgs(info.limits)...)
	args = append(args, opts.decoderArgs()...)
	if opts.from > 0 {
		args = append(args, "-ss", strconv.FormatFloat(opts.from.Seconds(), 'f', 6, 64))
	}
	return append(args, "-i", inputURL, "-map", "0:"+strconv.Itoa(info.StreamIndex), "-filter:v", decodeFilter(info, opts),
		"-fps_mode", "passthrough", "-pix_fmt", rawName(info), "-c:v", "rawvideo", "-f", "rawvideo", "-avioflags", "direct", "pipe:1")
}

// rawName is the name of the format that the decoder's pipe carries: full range has names of its own for 8 bit, without
// which ffmpeg would squeeze the range.
func rawName(info Info) string {
	if strings.HasPrefix(info.SourceFormat, "yuvj") {
		return strings.Replace(info.Format.Name, "yuv", "yuvj", 1)
	}
	return info.Format.Name
}

func decodeFilter(info Info, opts ReadOptions) string {
	scale := fmt.Sprintf("scale=%d:%d", info.Width, info.Height) // does nothing unless the size changes on the way
	switch {
	case isRGB(info.SourceFormat):
		scale += ":out_color_matrix=bt709:out_range=tv"
	case opts.inHardware(): // in a layout of the device's
		scale += rangeArgs(info)
	case strings.HasPrefix(info.SourceFormat, "yuvj"), info.SourceFormat == info.Format.Name:
	default: // another layout or depth, but the same range
		scale += rangeArgs(info)
	}
	return selectFilter(info, opts) + "showinfo=checksum=0," + scale
}

// selectFilter passes, for each time around which frames are wanted, those shown within two mean periods before it and the first one
// that is not before it.
func selectFilter(info Info, opts ReadOptions) string {
	if opts.around == nil {
		return ""
	}
	before := 2 * timeOf(framePeriod(info), info.TimeBase)
	terms := make([]string, len(opts.around))
	for i, at := range opts.around {
		terms[i] = fmt.Sprintf(`gte(t\,%f)*(isnan(prev_t)+lt(prev_t\,%f))`, (at - before).Seconds(), (at - rounding).Seconds())
	}
	return "select=" + strings.Join(terms, "+") + ","
}

// rangeArgs keep the scaler from changing the range.
func rangeArgs(info Info) string {
	if info.FullRange {
		return ":in_range=pc:out_range=pc"
	}
	return ":in_range=tv:out_range=tv"
}

// onLine sees the decoder's stderr.
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
// comes from a pool that grows to as many frames as are held at once. Next fails with io.EOF after a whole video, and
// otherwise with ErrDamaged, ErrUnreadable, ErrLimit, ErrStalled, ErrTool or the context's error; the same again when
// called again.
func (r *Reader) Next() (*Frame, error) {
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
	s, err := r.nextShown()
	if err != nil {
		return nil, err
	}
	f, err := r.pool.get(r.info.Format, r.info.Width, r.info.Height)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", r.info.Path, err)
	}
	_ = r.stdout.SetReadDeadline(time.Now().Add(r.opts.Stall))
	if _, err := io.ReadFull(r.stdout, f.buffer[headRoom:]); err != nil {
		f.Release()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, r.stalled()
		}
		return nil, r.ended(true)
	}
	f.Index, f.PTS, f.FullRange = r.index, r.presentation(s), r.info.FullRange
	f.Time = timeOf(f.PTS, r.info.TimeBase)
	if r.index == 0 {
		r.first = f.PTS
	}
	if err := r.asKnown(f); err != nil {
		f.Release()
		return nil, err
	}
	r.index, r.last = r.index+1, f.PTS
	return f, nil
}

// refuse ends the video early.
func (r *Reader) refuse() error {
	if err := context.Cause(r.ctx); err != nil {
		return fileError(r.info.Path, err, "")
	}
	if err := r.deviceFault(); err != nil {
		return err
	}
	if !r.opts.Salvage {
		if err := r.Damage(); err != nil {
			return err
		}
	}
	if int64(r.index) >= r.info.limits.MaxFrames {
		return fileError(r.info.Path, ErrLimit, "more than %d frames", r.info.limits.MaxFrames)
	}
	return nil
}

// nextShown waits for the next frame to be announced, or for the decoder to end.
func (r *Reader) nextShown() (shown, error) {
	r.timer.Reset(r.opts.Stall)
	select {
	case s, ok := <-r.shown:
		if !ok {
			return shown{}, r.ended(false)
		}
		return s, nil
	case <-r.closing:
		return shown{}, fileError(r.info.Path, os.ErrClosed, "")
	case <-r.timer.C:
		return shown{}, r.stalled()
	}
}

func (r *Reader) stalled() error {
	return fileError(r.info.Path, ErrStalled, "no frame from the decoder for %s after frame %d", r.opts.Stall, r.index)
}

// presentation returns a frame's time. Where the source gives none, or one that is not after the frame before (both
// happen in broken files), it goes on at the mean rate, by at least one unit, so that frames keep their order.
func (r *Reader) presentation(s shown) int64 {
	if r.index == 0 {
		return s.pts
	}
	if s.hasPTS && s.pts > r.last {
		return s.pts
	}
	return r.last + max(1, framePeriod(r.info))
}

// framePeriod is the mean time between frames in units of the time base, 0 if unknown.
func framePeriod(info Info) int64 {
	unit := info.FrameRate.Float() * info.TimeBase.Float()
	if unit <= 0 {
		return 0
	}
	return int64(1/unit + 0.5)
}

// ended tells why there are no more frames; cut means in the middle of one.
func (r *Reader) ended(cut bool) error {
	select {
	case <-r.closing:
		return fileError(r.info.Path, os.ErrClosed, "")
	default:
	}
	err := r.child.wait()
	text, _ := r.child.complaints()
	device := r.deviceFault()
	switch {
	case context.Cause(r.ctx) != nil:
		return fileError(r.info.Path, context.Cause(r.ctx), "")
	case device != nil:
		return device
	case errors.As(err, new(overLimit)):
		return fileError(r.info.Path, ErrLimit, "%v, decoding; it ended after frame %d", err, r.index)
	case crashed(err):
		return fileError(r.info.Path, ErrTool, "the decoder ended with %v after frame %d: %s", err, r.index, tidy(text))
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
	if err := r.Damage(); err != nil && (!r.opts.Salvage || r.index == 0) {
		return err
	}
	return io.EOF
}

// missing tells what a file announced and did not give, or "". Decoders say nothing when a file ends cleanly between
// two frames.
func (r *Reader) missing() string {
	if r.index == 0 {
		return "no frame decodes"
	}
	seconds := (r.info.Duration - r.length()).Seconds()
	late := r.info.Duration > 0 && seconds > max(missingSeconds, 0.02*r.info.Duration.Seconds())
	// An index may count frames that an edit list hides, and the last frame may stand for long: both must agree.
	if r.info.indexedFrames > 0 {
		late = late && int64(r.index) < r.info.indexedFrames
	} else if !r.info.ownDuration && r.info.AudioStreams > 0 {
		late = false // the file's length may be that of its sound
	}
	if !late {
		return ""
	}
	return fmt.Sprintf("it announces %.1f s of video and ends after %.1f s, %d frames", r.info.Duration.Seconds(), r.length().Seconds(), r.index)
}

// length is how long the frames so far last, counted as Info.Duration is.
func (r *Reader) length() time.Duration {
	end := r.last + framePeriod(r.info)
	if strings.HasPrefix(r.info.Container, "matroska") { // there a length counts from zero
		return timeOf(end, r.info.TimeBase)
	}
	return timeOf(end-r.first, r.info.TimeBase)
}

// Damage tells what did not decode so far, as ErrDamaged, or nil. It is of use with ReadOptions.Salvage.
func (r *Reader) Damage() error {
	if text := r.faults.text(); text != "" {
		return fileError(r.info.Path, ErrDamaged, "%s", tidy(text))
	}
	return nil
}

// deviceFault tells how the device that decodes failed, as ErrTool, or nil.
func (r *Reader) deviceFault() error {
	if text := r.faults.deviceText(); text != "" {
		return fileError(r.info.Path, ErrTool, "decoder %s: %s", r.opts.Decoder, tidy(text))
	}
	return nil
}

// Close ends the decoder and waits for it, promptly. Frames already handed out stay valid. It may be called twice.
func (r *Reader) Close() error {
	r.closeOnce.Do(func() {
		close(r.closing)
		r.child.kill()
		_ = r.stdout.SetReadDeadline(time.Unix(1, 0)) // wakes Next, which then sees closing
		_ = r.child.wait()
		_ = r.stdout.Close()
		r.timer.Stop()
		if r.pending != nil {
			r.pending.Release()
		}
		r.pool.close()
	})
	return nil
}
