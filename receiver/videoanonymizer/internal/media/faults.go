// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
)

// maxFaults is how many complaints about a file are kept.
const maxFaults = 4

// harmless are error messages of decoders about streams that nevertheless decode whole: sloppy encoders that number
// references wrongly, and picture-file notes (EXIF and the like) that ffmpeg cannot read.
var harmless = []string{
	"mmco: unref short failure",
	"co located POCs unavailable",
	"number of reference frames",
	"unable to decode APP fields",
	"unknown SEI type",
	"overread",
	"Application provided invalid, non monotonically increasing dts to muxer", // of our own raw output, which has no times
}

// beforeFirst are error messages about pictures before the first one that can be decoded at all. A recording cut out of
// a broadcast begins like that; nothing that could have been seen is lost.
var beforeFirst = []string{
	"non-existing PPS",
	"non-existing SPS",
	"PPS id out of range",
	"no frame!",
	"decode_slice_header error",
	"Could not find ref with POC",
	"Error constructing the frame RPS",
	"Skipping invalid undecodable NALU",
	"Invalid frame dimensions", // of MPEG-2
	"missing picture in access unit",
	"Invalid data found when processing input",
}

// decoderNames are what ffmpeg's decoders call themselves, where it is not what ffprobe calls the codec.
var decoderNames = map[string]string{
	"mp1": "mp1float", "mp2": "mp2float", "mp3": "mp3float", "dts": "dca", "dvb_subtitle": "dvbsub", "hdmv_pgs_subtitle": "pgssub", "dvd_subtitle": "dvdsub",
	"eia_608": "cc_dec", "dvb_teletext": "libzvbi_teletextdec",
}

// faults collects what a decoder complains about, if it means that pictures are missing or wrong.
type faults struct {
	otherCodecs []string // complaints about streams that are not read do not count
	broadcast   bool     // the file may begin in mid-stream
	device      bool     // one decodes

	mu     sync.Mutex
	frames bool // one was decoded
	muted  bool // until a frame is seen
	lines  []string
	failed string // what the device failed with
}

func faultsOf(info Info, opts ReadOptions) faults {
	return faults{
		otherCodecs: info.otherCodecs, broadcast: strings.HasPrefix(info.Container, "mpeg"), device: opts.inHardware(),
		muted: opts.from > 0, // what lies before the place that was sought is not to be judged
	}
}

func (f *faults) sawFrame() {
	f.mu.Lock()
	f.frames, f.muted = true, false
	f.mu.Unlock()
}

// add looks at a line of the decoder's stderr.
func (f *faults) add(line []byte) {
	switch level(line) {
	case "error", "fatal", "panic":
	case "warning":
		if !bytes.Contains(line, []byte("orrupt")) {
			return
		}
	default:
		return
	}
	text := strings.ToValidUTF8(string(line), "?")
	says := func(part string) bool { return strings.Contains(text, part) }
	if slices.ContainsFunc(f.otherCodecs, func(c string) bool { return strings.HasPrefix(text, "["+cmp.Or(decoderNames[c], c)+" @ ") }) ||
		slices.ContainsFunc(harmless, says) {
		return
	}
	if f.device && slices.ContainsFunc(refusals, says) {
		return
	}
	if f.device && slices.ContainsFunc(deviceFaults, says) {
		f.mu.Lock()
		f.failed = cmp.Or(f.failed, text)
		f.mu.Unlock()
		return
	}
	f.mu.Lock()
	early, muted := f.broadcast && !f.frames, f.muted
	f.mu.Unlock()
	if muted || early && slices.ContainsFunc(beforeFirst, says) {
		return
	}
	f.record(text)
}

func (f *faults) record(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) < maxFaults {
		f.lines = append(f.lines, text)
	}
}

// text is what was found, "" if nothing.
func (f *faults) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.lines, "; ")
}

// deviceText is what the device failed with, "" if it did not.
func (f *faults) deviceText() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}
