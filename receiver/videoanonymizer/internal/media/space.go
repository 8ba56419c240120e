// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"math"

	"golang.org/x/sys/unix"
)

// density is how many bits an encoder takes for a pixel: at its default quality, and by how many steps of quality that doubles.
//
// Measured with ffmpeg 5.1 on the first 30 (h264, ffv1) or 15 frames of walk.mp4, of make footage, 768 x 576 with grain, preset veryfast; at
// quality best, fine, default, coarse:
//
//	h264 CRF 0, 10, 23, 30: 1.44, 0.48, 0.12, 0.04    vp9 0, 15, 28, 45: 1.59, 0.35, 0.20, 0.07
//	h265 CRF 0, 10, 22, 30: 1.07, 0.56, 0.18, 0.08    av1 1, 15, 30, 50: 0.74, 0.30, 0.16, 0.07
//
// talk.mp4 (400 x 300, calm) takes a third. ffv1 takes 0.35 of the raw frames there, 0.14 of talk.mp4's. Preset ultrafast takes 2.8
// times what veryfast does.
type density struct {
	bits, doubling float64
}

const (
	losslessShare  = 0.4 // of the raw frames
	fastestFactor  = 3   // preset ultrafast
	busiestFactor  = 4   // how much more than usual a picture may need, as a large source tells
	containerBytes = 64  // for each frame
)

// EstimateSize predicts the size of the output in bytes, roughly. It assumes what such videos usually need, and more where the source is
// larger, since a source that is hard to encode makes an output that is: but at most busiestFactor times the usual, for the source may
// be encoded wastefully. If the length of the source is unknown, it returns the source's size.
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

// FreeSpace is how many bytes may still be written into a folder, and which file system that is.
func FreeSpace(folder string) (free int64, device uint64, err error) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return 0, 0, fileError(folder, ErrUnwritable, "its free space: %v", err)
	}
	if err := unix.Stat(folder, &st); err != nil {
		return 0, 0, fileError(folder, ErrUnwritable, "%v", err)
	}
	return int64(min(fs.Bavail, uint64(math.MaxInt64)/uint64(fs.Frsize))) * fs.Frsize, uint64(st.Dev), nil
}
