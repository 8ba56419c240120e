// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lead is added to all times within segments, in seconds: a day, so that decoding times, which lie before the presentation's, never
// become negative, however long the first frames stand.
const lead = 24 * 60 * 60

// finest bounds the time base of segments for containers that round times further anyway, since MP4 counts the time between two
// frames in 32 bits.
const finest = 1_000_000

// unit is the time base of segments: that of Plan.timeBase, in whole parts of a second as MP4 has them.
func (p Plan) unit() Rational {
	if p.container.coarse {
		return Rational{1, min(p.timeBase.Den, finest)}
	}
	return Rational{1, p.timeBase.Den}
}

// encodeArgs make ffmpeg read frames in an IVF wrapper from its stdin and write a segment to path: the video stream as it will be in
// the output, in fragments of MP4 (of MOV for ffv1), which keeps presentation and decoding times exactly. Fragments of segments
// can follow each other in one file.
func (p Plan) encodeArgs(path string) []string {
	unit := p.unit()
	pixelFormat, _ := p.pixelFormat()
	args := append(slices.Clone(quietly), "-y", "-copyts",
		// The wrapper's header says all that ffmpeg would look for in the first frames.
		"-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0",
		"-c:v", "rawvideo", "-f", "ivf", "-i", "pipe:0",
		"-map", "0:v:0", "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", p.encoderFlags(),
		"-fps_mode", "passthrough", "-enc_time_base", fmt.Sprintf("%d:%d", unit.Num, unit.Den),
		"-filter:v", p.encodeFilter(), "-pix_fmt", pixelFormat,
		"-threads", strconv.Itoa(p.options.Threads), "-c:v", p.encoder.name)
	args = append(args, colourArgs(p.info)...)
	args = append(args, p.encoderArgs()...)
	args = append(args, p.container.encode...)
	if filters := p.encodeBitstreamFilters(); filters != "" {
		args = append(args, "-bsf:v", filters)
	}
	return append(args, "-movflags", "+frag_keyframe+delay_moov+default_base_moof+frag_discont", "-use_editlist", "0",
		"-avoid_negative_ts", "disabled", "-video_track_timescale", strconv.FormatInt(unit.Den, 10),
		"-f", cmp.Or(p.codec.segmentMuxer, "mp4"), "file:"+path)
}

// encodeBitstreamFilters drop the encoder's settings, and give the last packet a duration, by which the mean rate is told later.
func (p Plan) encodeBitstreamFilters() string {
	var filters []string
	if p.encoder.filters != "" {
		filters = append(filters, p.encoder.filters)
	}
	if duration := meanDuration(p.info); duration != "" {
		filters = append(filters, "setts=pts=PTS:dts=DTS:duration="+duration)
	}
	return strings.Join(filters, ",")
}

func (p Plan) encoderFlags() string {
	if p.encoder.name == "libx264" && fieldMode(p.info) != "" {
		return "+bitexact+ildct+ilme"
	}
	return "+bitexact"
}

// encodeFilter tags the frames with what the pipe does not carry.
func (p Plan) encodeFilter() string {
	info := p.info
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

func putFrameHeader(b []byte, size int, pts int64) {
	binary.LittleEndian.PutUint32(b, uint32(size))
	binary.LittleEndian.PutUint64(b[4:], uint64(pts))
}
