// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"math"

	"golang.org/x/sys/unix"
)

// density is how many bits per pixel a lossy codec needs at its default quality, and how many steps of quality double
// that.
//
// Measured with ffmpeg 5.1 and preset veryfast on the first 30 (h264, ffv1) or 15 frames of walk.mp4, of make footage,
// 768 x 576 with grain, at quality best, fine, default and coarse:
//
//	h264 CRF 0, 10, 23, 30: 1.44, 0.48, 0.12, 0.04    vp9 0, 15, 28, 45: 1.59, 0.35, 0.20, 0.07
//	h265 CRF 0, 10, 22, 30: 1.07, 0.56, 0.18, 0.08    av1 1, 15, 30, 50: 0.74, 0.30, 0.16, 0.07
//
// talk.mp4 (400 x 300, little motion) needs a third. ffv1 needs 0.35 of the raw frames for walk.mp4, 0.14 for talk.mp4.
// Preset ultrafast needs 2.8 times as much as veryfast.
type density struct {
	bits, doubling float64
}

const (
	losslessShare  = 0.4 // of the raw frames
	fastestFactor  = 3   // of preset ultrafast
	busiestFactor  = 4   // how much more than usual a video may need, judging by a large source
	containerBytes = 64  // for each frame
)

// EstimateSize roughly predicts the size of the output in bytes. It assumes what such videos usually need, or the
// source's size if that is larger, since what was hard to encode there is hard to encode here: but at most
// busiestFactor times the usual, since the source may be encoded wastefully. If the source's number of frames is
// unknown, it returns the source's size.
func (p Plan) EstimateSize() int64 {
	info := p.info
	if info.EstimatedFrames <= 0 {
		return info.Size
	}
	frames := float64(info.EstimatedFrames)
	bytes := frames * float64(p.format.FrameBytes(info.Width, info.Height)) * losslessShare
	if d := p.codec.density; d != (density{}) {
		bits := d.bits * math.Exp2(float64(p.codec.quality-p.quality)/d.doubling)
		if p.speed == 0 {
			bits *= fastestFactor
		}
		bytes = frames * float64(info.Width) * float64(info.Height) * bits / 8
	}
	bytes = max(bytes, min(float64(info.Size), bytes*busiestFactor)) + frames*containerBytes
	return int64(min(bytes, math.MaxInt64/4))
}

// FreeSpace returns how many bytes can still be written to a folder, and the device of its file system. It fails with
// ErrUnwritable.
func FreeSpace(folder string) (free int64, device uint64, err error) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return 0, 0, fileError(folder, ErrUnwritable, "its free space: %v", err)
	}
	if err := unix.Stat(folder, &st); err != nil {
		return 0, 0, fileError(folder, ErrUnwritable, "%v", err)
	}
	return int64(min(fs.Bavail, uint64(math.MaxInt64)/uint64(fs.Frsize))) * fs.Frsize, st.Dev, nil
}
