// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReadOptions say how to decode. The zero value is ready to use.
type ReadOptions struct {
	// Threads is the number of decoder threads; 0 lets ffmpeg choose.
	Threads int
	// Decoder is Software (default), CUDA or VAAPI. The CPU decodes what the device cannot.
	Decoder string
	// Device is the path of the VAAPI device; "" is DefaultVAAPIDevice.
	Device string
	// Salvage skips what does not decode, and ends with io.EOF; Reader.Damage returns what was wrong. Without it, damage
	// ends the video with ErrDamaged.
	Salvage bool
	// OneClock ends a video whose clock is set back with ErrUnsupported, since other streams follow the same clock.
	OneClock bool
	// Stall is how long Next waits for a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration

	strict string          // the decoder to prefer over ffmpeg's own, "" for none
	from   time.Duration   // since the file's beginning; earlier frames are skipped
	around []time.Duration // presentation times: frames that are not close to one are skipped; nil skips none

	_ struct{}
}

// decodeArgs make ffmpeg write each frame of the video stream once, upright and in the format of info, to its stdout,
// and each frame's time to its stderr.
func decodeArgs(info Info, opts ReadOptions) []string {
	args := append([]string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info", "-copyts",
		"-threads", strconv.Itoa(opts.threads())}, inputArgs(info.limits)...)
	args = append(args, opts.decoderArgs()...)
	if opts.strict != "" && !opts.inHardware() {
		args = append(args, "-c:"+strconv.Itoa(info.StreamIndex), opts.strict)
	}
	if opts.from > 0 {
		args = append(args, "-ss", inSeconds(opts.from))
	}
	return append(args, "-i", inputURL, "-map", "0:"+strconv.Itoa(info.StreamIndex),
		"-filter:v", decodeFilter(info, opts), "-fps_mode", "passthrough", "-pix_fmt", rawName(info),
		"-c:v", "rawvideo", "-f", "rawvideo", "-avioflags", "direct", "pipe:1")
}

// rawName is the name of the format in the decoder's pipe. With 8 bits, full range has separate names, without which
// ffmpeg would compress the range.
func rawName(info Info) string {
	if strings.HasPrefix(info.SourceFormat, "yuvj") {
		return strings.Replace(info.Format.Name, "yuv", "yuvj", 1)
	}
	return info.Format.Name
}

func decodeFilter(info Info, opts ReadOptions) string {
	scale := fmt.Sprintf("scale=%d:%d", info.Width, info.Height) // does nothing unless the size changes in mid-stream
	switch {
	case isRGB(info.SourceFormat):
		scale += ":out_color_matrix=bt709:out_range=tv"
	case opts.inHardware(): // in the device's layout
		scale += rangeArgs(info)
	case strings.HasPrefix(info.SourceFormat, "yuvj"), info.SourceFormat == info.Format.Name:
	default: // another layout or depth, but the same range
		scale += rangeArgs(info)
	}
	return selectFilter(info, opts) + "showinfo=checksum=0," + scale
}

// selectFilter passes, for each time in opts.around, the frames within two mean periods before it and the first frame
// that is not before it.
func selectFilter(info Info, opts ReadOptions) string {
	if opts.around == nil {
		return ""
	}
	before := 2 * timeOf(framePeriod(info), info.TimeBase)
	terms := make([]string, len(opts.around))
	for i, at := range opts.around {
		terms[i] = fmt.Sprintf(`gte(t\,%f)*(isnan(prev_t)+lt(prev_t\,%f))`,
			(at - before).Seconds(), (at - rounding).Seconds())
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
