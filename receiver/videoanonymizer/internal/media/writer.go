// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// WriteOptions say how to encode. The zero value writes H.264 in the container that the source has.
type WriteOptions struct {
	// Container is "mp4", "mov", "mkv", "webm", "avi" or "ts"; "" or "same" is the one for the source's name
	// (ContainerFor).
	Container string
	// Codec is "h264" (default), "h265", "vp9", "av1", "ffv1", or "same" for the source's own where that is one of
	// these, else h264. WebM holds no H.264: there "h264" means vp9. Any other pair that does not go together is
	// ErrUnsupported.
	Codec string
	// Quality is the constant rate factor: 0 is best, worst is 51 for h264 and h265 and 63 for vp9 and av1; ffv1 is
	// lossless and has none. nil takes the codec's default: 23, 22, 28, 30.
	Quality *int
	// Preset trades speed for size in the words of x264, ultrafast to placebo; other encoders take their nearest speed.
	// Default veryfast.
	Preset string
	// Encoder is "software" (default), "nvenc" or "vaapi"; what a device does not write is ErrUnsupported. Codec "same"
	// becomes h264 where it does not write the source's.
	Encoder string
	// Device is the path of vaapi's; "" is DefaultVAAPIDevice.
	Device string
	// Threads of the encoder; 0 lets ffmpeg choose.
	Threads int
	// Stall is how long Write waits for the encoder to take a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration

	_ struct{}
}

// Writer encodes one video. Its methods are for one goroutine, but for Abort, which may run at any time.
type Writer struct {
	tools Tools
	ctx   context.Context
	temp  string
	info  Info
	plan  plan
	stall time.Duration
	child *child
	stdin *os.File

	frames int64
	origin int64 // taken from every time
	times  timeLog
	err    error // what Write ended with

	mu   sync.Mutex
	over bool // finished or aborted: the temporary file is no longer ours
}

// Create starts the encoder, writing to tempPath, which must not exist: a hidden name in the folder where the video
// will stand. Size, format, colour and time base are info's. Nothing else of the source gets into the output: no sound,
// subtitles, data, chapters, cover, metadata or encoder settings. The writer ends when ctx does. Create fails with
// ErrUnsupported, ErrExists, ErrUnwritable, ErrNoSpace or ErrTool.
func (t Tools) Create(ctx context.Context, tempPath string, info Info, opts WriteOptions) (*Writer, error) {
	p, err := newPlan(info, opts)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", info.Path, err)
	}
	temp, err := filepath.Abs(tempPath)
	if err != nil {
		return nil, fileError(tempPath, ErrUnwritable, "%v", err)
	}
	if err := reserve(temp); err != nil {
		return nil, err
	}
	w := &Writer{tools: t, ctx: ctx, temp: temp, info: info, plan: p, stall: cmp.Or(opts.Stall, defaultStall)}
	stdinEnd, stdin, err := os.Pipe()
	if err == nil {
		enlargePipe(stdin)
		w.stdin = stdin
		w.child, err = start(ctx, t.FFmpeg, encodeArgs(info, p, opts, temp), streams{stdin: stdinEnd}, info.limits.writing(), nil)
	}
	if err != nil {
		_ = stdin.Close()
		_ = os.Remove(temp)
		return nil, fileError(temp, ErrTool, "%v", err)
	}
	if err := w.send(ivfHeader(info, p.timeBase)); err != nil {
		_ = w.Abort()
		return nil, err
	}
	return w, nil
}

// reserve makes sure that a file is ours.
func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fileError(path, ErrExists, "left as it is")
	case errors.Is(err, fs.ErrNotExist):
		return fileError(path, ErrUnwritable, "its folder does not exist")
	case err != nil:
		return fileError(path, diskCause(err), "%v", rootCause(err))
	}
	return f.Close()
}

// encodeArgs make ffmpeg read frames in an IVF wrapper from its stdin and write the video to path.
func encodeArgs(info Info, p plan, opts WriteOptions, path string) []string {
	pixelFormat, _ := p.pixelFormat()
	args := []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+warning", "-y", "-copyts",
		// The wrapper's header says all that ffmpeg would look for in the first frames.
		"-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0",
		"-c:v", "rawvideo", "-f", "ivf", "-i", "pipe:0",
		"-map", "0:v:0", "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", encoderFlags(info, p),
		"-fps_mode", "passthrough", "-enc_time_base", fmt.Sprintf("%d:%d", p.timeBase.Num, p.timeBase.Den),
		"-filter:v", encodeFilter(info, p), "-pix_fmt", pixelFormat,
		"-threads", strconv.Itoa(opts.Threads), "-c:v", p.encoder.name}
	args = append(args, colourArgs(info)...)
	args = append(args, p.encoderArgs(info)...)
	if f := bitstreamFilters(info, p); f != "" {
		args = append(args, "-bsf:v", f)
	}
	if p.container.args != nil {
		args = append(args, p.container.args(info)...)
	}
	if p.codec == "h265" && (p.container.muxer == "mp4" || p.container.muxer == "mov") {
		args = append(args, "-tag:v", "hvc1") // what Apple's players ask for
	}
	return append(args, "-f", p.container.muxer, "file:"+path)
}

func encoderFlags(info Info, p plan) string {
	if p.encoder.name == "libx264" && fieldMode(info) != "" {
		return "+bitexact+ildct+ilme"
	}
	return "+bitexact"
}

// encodeFilter tags the frames with what the pipe does not carry.
func encodeFilter(info Info, p plan) string {
	tags := []string{"range=" + map[bool]string{true: "pc", false: cmp.Or(info.ColorRange, "unknown")}[info.FullRange]}
	add := func(key, value string) {
		if value != "" {
			tags = append(tags, key+"="+value)
		}
	}
	add("color_primaries", info.ColorPrimaries)
	add("color_trc", info.ColorTransfer)
	add("colorspace", info.ColorMatrix)
	add("field_mode", fieldMode(info))
	filter := fmt.Sprintf("setparams=%s,setsar=%d/%d", strings.Join(tags, ":"), info.SAR.Num, info.SAR.Den)
	name, upload := p.pixelFormat()
	if name != info.Format.Name {
		filter += ",scale=" + strings.TrimPrefix(rangeArgs(info), ":")
	}
	if upload != "" {
		filter += "," + upload
	}
	return filter
}

// fieldMode is setparams' word for an interlaced picture whose named field is shown first, "" for a progressive one.
func fieldMode(info Info) string {
	switch info.FieldOrder {
	case "tt", "bt":
		return "tff"
	case "bb", "tb":
		return "bff"
	}
	return ""
}

func colourArgs(info Info) []string {
	var args []string
	for _, a := range [][2]string{{"-color_range", info.ColorRange}, {"-color_primaries", info.ColorPrimaries},
		{"-color_trc", info.ColorTransfer}, {"-colorspace", info.ColorMatrix}, {"-chroma_sample_location", info.ChromaLocation}} {
		if a[1] != "" {
			args = append(args, a[0], a[1])
		}
	}
	return args
}

// bitstreamFilters drop encoder settings, and give each packet a duration, which the encoder does not know. Containers
// keep only the last one's, which is part of the video's length: what is left until the source's end where that is
// known, on the decoding clock too, by which the MOV family counts, or else the mean.
func bitstreamFilters(info Info, p plan) string {
	var filters []string
	if p.encoder.filters != "" {
		filters = append(filters, p.encoder.filters)
	}
	if info.FrameRate.Num > 0 {
		duration := fmt.Sprintf("round(%d/%d/TB)", info.FrameRate.Den, info.FrameRate.Num)
		if info.end > 0 && !p.container.fromZero {
			end := fmt.Sprintf("round(%d*%d/%d/TB)", info.end, info.TimeBase.Num, info.TimeBase.Den)
			duration = fmt.Sprintf(`max(1\,min(%s-PTS\,%s-STARTPTS-DTS+STARTDTS))`, end, end)
		}
		filters = append(filters, "setts=pts=PTS:dts=DTS:duration="+duration)
	}
	return strings.Join(filters, ",")
}

// IVF is a header and then frames, each behind a header of its own, all little-endian.
const (
	ivfFileHeader  = 32
	ivfFrameHeader = 12
)

func ivfHeader(info Info, unit Rational) []byte {
	h := make([]byte, 0, ivfFileHeader)
	h = append(h, "DKIF"...)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint16(h, ivfFileHeader)
	h = append(h, formats[info.Format.Name].fourCC...)
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Width))
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Height))
	h = binary.LittleEndian.AppendUint32(h, uint32(unit.Den))
	h = binary.LittleEndian.AppendUint32(h, uint32(unit.Num))
	return append(h, make([]byte, 8)...)
}

// Write hands a frame to the encoder. It does not keep the frame. PTS must grow from frame to frame. It fails with
// ErrNoSpace, ErrUnwritable, ErrStalled, ErrTool, ErrUnsupported (another size or format than Create was told, or a time
// that the container cannot hold) or the context's error; the same again when called again.
func (w *Writer) Write(frame *Frame) error {
	if w.err == nil {
		w.err = w.write(frame)
	}
	return w.err
}

func (w *Writer) write(frame *Frame) error {
	if frame.Width != w.info.Width || frame.Height != w.info.Height || frame.Format != w.info.Format {
		return fileError(w.temp, ErrUnsupported, "a frame of %d x %d %s in a video of %d x %d %s",
			frame.Width, frame.Height, frame.Format.Name, w.info.Width, w.info.Height, w.info.Format.Name)
	}
	if w.frames == 0 && (w.plan.container.fromZero || frame.PTS < 0) {
		w.origin = frame.PTS // a container would hide what is shown before zero
	}
	pts := rescale(frame.PTS-w.origin, w.info.TimeBase, w.plan.timeBase)
	if w.frames > 0 && pts <= w.times.last {
		return fileError(w.temp, ErrUnsupported, "the time of frame %d is not after the one before it", frame.Index)
	}
	if err := w.sendFrame(frame, pts); err != nil {
		return err
	}
	w.times.add(pts)
	w.frames++
	return nil
}

func (w *Writer) sendFrame(frame *Frame, pts int64) error {
	size := frame.Format.FrameBytes(frame.Width, frame.Height)
	if len(frame.buffer) == headRoom+size {
		header := frame.buffer[headRoom-ivfFrameHeader:]
		putFrameHeader(header, size, pts)
		return w.send(header)
	}
	header := make([]byte, ivfFrameHeader)
	putFrameHeader(header, size, pts)
	if err := w.send(header); err != nil {
		return err
	}
	for i := range frame.Format.AllPlanes() {
		if err := w.send(frame.Planes[i].Data); err != nil {
			return err
		}
	}
	return nil
}

func putFrameHeader(b []byte, size int, pts int64) {
	binary.LittleEndian.PutUint32(b, uint32(size))
	binary.LittleEndian.PutUint64(b[4:], uint64(pts))
}

// send pipes bytes to the encoder.
func (w *Writer) send(b []byte) error {
	if err := context.Cause(w.ctx); err != nil {
		return fileError(w.temp, err, "")
	}
	_ = w.stdin.SetWriteDeadline(time.Now().Add(w.stall))
	_, err := w.stdin.Write(b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fileError(w.temp, ErrStalled, "the encoder took no frame for %s after frame %d", w.stall, w.frames)
	case errors.Is(err, os.ErrClosed):
		return fileError(w.temp, os.ErrClosed, "")
	}
	_ = w.stdin.Close()
	if err := w.ended(w.ctx); err != nil {
		return err
	}
	return fileError(w.temp, ErrTool, "the encoder ended by itself after frame %d", w.frames)
}

// ended waits for the encoder and tells what went wrong with it.
func (w *Writer) ended(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.child.kill)
	defer stop()
	err := w.child.wait()
	text, failed := w.child.complaints()
	for _, ctx := range []context.Context{ctx, w.ctx} {
		if cause := context.Cause(ctx); cause != nil {
			return fileError(w.temp, cause, "")
		}
	}
	if err == nil && !failed {
		return nil
	}
	if errors.As(err, new(overLimit)) {
		return fileError(w.temp, ErrLimit, "%v, encoding; it ended after frame %d", err, w.frames)
	}
	if err == nil {
		err = errors.New("it reports errors")
	}
	return fileError(w.temp, encodeCause(text), "the encoder failed after frame %d: %s", w.frames, describe(text, err))
}

// diskCause sorts an error of the file system.
func diskCause(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrNoSpace
	case errors.Is(err, fs.ErrNotExist):
		return ErrVanished
	default:
		return ErrUnwritable
	}
}

func encodeCause(complaint string) error {
	for part, cause := range map[string]error{
		"No space left on device": ErrNoSpace,
		"Disk quota exceeded":     ErrNoSpace,
		"File too large":          ErrNoSpace,
		"Read-only file system":   ErrUnwritable,
		"Permission denied":       ErrUnwritable,
		"Input/output error":      ErrUnwritable,
	} {
		if strings.Contains(complaint, part) {
			return cause
		}
	}
	return ErrTool
}

// Finish ends the encoder and makes sure that the file at Create's path holds each frame written at its time. From then on the
// file is the caller's, who brings it to the disk and gives it its name. If Finish fails the file is removed.
func (w *Writer) Finish(ctx context.Context) error {
	err := w.finish(ctx)
	if err != nil {
		_ = w.Abort()
	}
	return err
}

func (w *Writer) finish(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	if w.frames == 0 {
		return fileError(w.temp, ErrUnsupported, "a video without frames")
	}
	if err := w.stdin.Close(); err != nil {
		return fileError(w.temp, os.ErrClosed, "")
	}
	if err := w.ended(ctx); err != nil {
		return err
	}
	if err := w.verify(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return fileError(w.temp, os.ErrClosed, "")
	}
	w.over = true
	return nil
}

// Abort ends the encoder, waits for it and removes the temporary file. It may be called twice, and after Finish, where
// it does nothing.
func (w *Writer) Abort() error {
	w.child.kill()
	_ = w.child.wait()
	_ = w.stdin.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil
	}
	w.over = true
	if err := os.Remove(w.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(w.temp, ErrUnwritable, "%v", rootCause(err))
	}
	return nil
}
