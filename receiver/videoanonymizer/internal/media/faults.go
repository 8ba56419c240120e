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

// harmless are error messages of decoders about streams that nevertheless decode completely: those of encoders that
// number references wrongly, and those with image metadata (such as EXIF) that ffmpeg cannot read.
var harmless = []string{
	"mmco: unref short failure",
	"co located POCs unavailable",
	"number of reference frames",
	"unable to decode APP fields",
	"unknown SEI type",
	"overread",
	"Application provided invalid, non monotonically increasing dts to muxer", // our raw output, which has no times
}

// beforeFirst are error messages about frames before the first one that can be decoded at all. A recording cut out of a
// broadcast begins like that; nothing that anyone could have seen is lost.
var beforeFirst = []string{
	"non-existing PPS",
	"non-existing SPS",
	"PPS id out of range",
	"no frame!",
	"decode_slice_header error",
	"Could not find ref with POC",
	"Error constructing the frame RPS",
	"Skipping invalid undecodable NALU",
	"Invalid frame dimensions", // MPEG-2
	"missing picture in access unit",
	"Invalid data found when processing input",
}

// decoderNames are the names of ffmpeg's decoders where they differ from ffprobe's names for the codecs.
var decoderNames = map[string]string{
	"mp1": "mp1float", "mp2": "mp2float", "mp3": "mp3float", "dts": "dca", "dvb_subtitle": "dvbsub",
	"hdmv_pgs_subtitle": "pgssub", "dvd_subtitle": "dvdsub", "eia_608": "cc_dec", "dvb_teletext": "libzvbi_teletextdec",
}

// faults collects a decoder's complaints that mean that frames are missing or wrong.
type faults struct {
	otherCodecs []string // complaints about streams that are not read do not count
	broadcast   bool     // the file may begin in mid-stream
	device      bool     // a device decodes

	mu     sync.Mutex
	shown  int  // frames that were decoded
	muted  bool // until a frame is decoded
	lines  []string
	failed string // what went wrong that is not the file's fault
	cause  error  // cause of that

	// A transport stream may lose packets in transmission. The decoder conceals what is then missing in a frame.
	lossy     bool
	lost      int      // value of shown when packets were last lost, -1 if never
	lostNote  string   // what the demuxer said then
	concealed []string // what the decoder complained about since
	damaged   int      // value of shown at the last such complaint, -1 if none
	groups    int      // groups of complaints, each about one or more frames
	corrupt   int      // frames that ffmpeg calls corrupt
}

const (
	// lossReach is how many frames after a lost packet the decoder may complain about the loss.
	lossReach = 64
	// cutReach is how many frames a decoder may still return after the last complete one in the file: those held in its
	// threads or for reordering B-frames.
	cutReach = 16
	// groupReach is how many frames may be shown between two complaints about the same frame.
	groupReach = 8
	// concealedShare is how many frames a source must have for each one that lost packets leave incomplete.
	concealedShare = 100
)

// packetsLost are parts of ffmpeg's messages about packets missing from a transport stream, and undecoded are parts of
// those about a frame that is missing as a result.
var (
	packetsLost = []string{"Packet corrupt (stream", "corrupt input packet"}
	undecoded   = []string{
		"Error while decoding stream", "Error submitting packet", "no frame!", "Missing reference picture",
	}
)

func newFaults(info Info, opts ReadOptions) faults {
	return faults{
		otherCodecs: info.otherCodecs, broadcast: strings.HasPrefix(info.Container, "mpeg"), device: opts.inHardware(),
		lossy: info.Container == "mpegts", lost: -1, damaged: -1,
		muted: opts.from > 0, // complaints about what lies before the frame that was sought do not count
	}
}

func (f *faults) sawFrame() {
	f.mu.Lock()
	f.shown, f.muted = f.shown+1, false
	f.mu.Unlock()
}

// add classifies a line of the decoder's stderr.
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
	contains := func(part string) bool { return strings.Contains(text, part) }
	fromDecoderOf := func(codec string) bool {
		return strings.HasPrefix(text, "["+cmp.Or(decoderNames[codec], codec)+" @ ")
	}
	switch {
	case slices.ContainsFunc(f.otherCodecs, fromDecoderOf), slices.ContainsFunc(harmless, contains):
		return
	case f.device && slices.ContainsFunc(refusals, contains):
		return
	case f.device && slices.ContainsFunc(deviceFaults, contains):
		f.fail(text, ErrTool)
		return
	case slices.ContainsFunc(rawFaults, contains):
		f.fail(text, ErrTool)
		return
	}
	if cause := passingComplaint(text); cause != nil {
		f.fail(text, cause)
		return
	}
	f.mu.Lock()
	early, muted := f.broadcast && f.shown == 0, f.muted
	f.mu.Unlock()
	if muted || early && slices.ContainsFunc(beforeFirst, contains) {
		return
	}
	if f.fromLoss(text, contains) {
		return
	}
	f.record(text)
}

// fromLoss records a complaint that lost packets explain, and reports whether they explain it fully.
func (f *faults) fromLoss(text string, contains func(string) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.lossy:
		return false
	case slices.ContainsFunc(packetsLost, contains):
		f.lost, f.lostNote = f.shown, text
		return true
	case f.lost < 0, f.shown > f.lost+lossReach, slices.ContainsFunc(undecoded, contains):
		return false
	}
	if f.damaged < 0 || f.shown > f.damaged+groupReach {
		f.groups++
	}
	if contains("corrupt decoded frame") {
		f.corrupt++
	}
	f.damaged = f.shown
	if len(f.concealed) < maxFaults {
		f.concealed = append(f.concealed, text)
	}
	return true
}

// endLoss records losses as faults if more than a few frames are missing or incomplete: at the end, where the file is
// cut off, or if there are too many for a source with this number of frames.
func (f *faults) endLoss(frames int64) {
	f.mu.Lock()
	cut, bad := "", max(f.groups, f.corrupt)
	switch {
	case f.damaged >= 0 && f.shown <= f.damaged+cutReach, bad > 1 && int64(bad)*concealedShare > frames:
		cut = strings.Join(f.concealed, "; ")
	case f.lost >= 0 && f.shown <= f.lost+cutReach:
		cut = f.lostNote
	}
	f.mu.Unlock()
	if cut != "" {
		f.record(cut)
	}
}

func (f *faults) record(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) < maxFaults {
		f.lines = append(f.lines, text)
	}
}

// text returns the complaints, "" if there are none.
func (f *faults) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.lines, "; ")
}

// lossText returns the complaints about frames that exist but may be incomplete, "" if there are none.
func (f *faults) lossText() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cmp.Or(strings.Join(f.concealed, "; "), f.lostNote)
}

// fail keeps the first complaint that is not about the file.
func (f *faults) fail(text string, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == nil {
		f.failed, f.cause = text, cause
	}
}

// failure returns what went wrong that is not the file's fault, and its cause; nil if nothing did.
func (f *faults) failure() (text string, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed, f.cause
}
