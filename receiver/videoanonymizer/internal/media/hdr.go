// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// pqTransfer is ffmpeg's name for HDR10's transfer function, the perceptual quantizer (SMPTE ST 2084).
const pqTransfer = "smpte2084"

// hlgTransfer is ffmpeg's name for the transfer function hybrid log-gamma (ARIB STD-B67).
const hlgTransfer = "arib-std-b67"

// MasteringDisplay is the display on which an HDR10 video was mastered (SMPTE ST 2086); the zero value means unknown.
type MasteringDisplay struct {
	// Red, Green, Blue and White are x and y in the CIE 1931 chromaticity diagram, 0 to 1.
	Red, Green, Blue, White [2]float64
	// Darkest and Brightest are its luminance in cd/m², 0 to 10,000.
	Darkest, Brightest float64
}

// ContentLight is how bright an HDR10 video gets, in cd/m² (CTA-861.3); 0 if unknown.
type ContentLight struct {
	// Max is the luminance of the brightest pixel (MaxCLL), MaxAverage the mean of the brightest frame (MaxFALL).
	Max, MaxAverage int
}

// probedSideData is ffprobe's side data of a stream or a frame.
type probedSideData struct {
	Rotation   float64 `json:"rotation"`
	RedX       string  `json:"red_x"`
	RedY       string  `json:"red_y"`
	GreenX     string  `json:"green_x"`
	GreenY     string  `json:"green_y"`
	BlueX      string  `json:"blue_x"`
	BlueY      string  `json:"blue_y"`
	WhiteX     string  `json:"white_point_x"`
	WhiteY     string  `json:"white_point_y"`
	Darkest    string  `json:"min_luminance"`
	Brightest  string  `json:"max_luminance"`
	Max        int64   `json:"max_content"`
	MaxAverage int64   `json:"max_average"`
}

const hdrEntries = "red_x,red_y,green_x,green_y,blue_x,blue_y,white_point_x,white_point_y," +
	"min_luminance,max_luminance,max_content,max_average"

// setLight sets Mastering and Light if they are not known yet.
func (i *Info) setLight(sideData []probedSideData) {
	for _, d := range sideData {
		if i.Mastering == (MasteringDisplay{}) {
			i.Mastering = d.mastering()
		}
		valid := func(light int64) bool { return light >= 0 && light <= math.MaxUint16 }
		if i.Light == (ContentLight{}) && valid(d.Max) && valid(d.MaxAverage) {
			i.Light = ContentLight{Max: int(d.Max), MaxAverage: int(d.MaxAverage)}
		}
	}
}

// mastering returns a complete and valid description, or the zero value.
func (d probedSideData) mastering() MasteringDisplay {
	var m MasteringDisplay
	for _, c := range []struct {
		to   *[2]float64
		x, y string
	}{
		{&m.Red, d.RedX, d.RedY}, {&m.Green, d.GreenX, d.GreenY},
		{&m.Blue, d.BlueX, d.BlueY}, {&m.White, d.WhiteX, d.WhiteY},
	} {
		*c.to = [2]float64{rational(c.x).Float(), rational(c.y).Float()}
		if c.to[0] > 1 || c.to[1] > 1 || c.to[0] <= 0 || c.to[1] <= 0 {
			return MasteringDisplay{}
		}
	}
	m.Darkest, m.Brightest = rational(d.Darkest).Float(), rational(d.Brightest).Float()
	if m.Brightest <= m.Darkest || m.Brightest > 10_000 { // the limit of the transfer function
		return MasteringDisplay{}
	}
	return m
}

// probeFirstFrame sets Mastering and Light from the first frame if the container does not state them. A frame that does
// not decode is ignored here: the decoder reports it later.
func (t Tools) probeFirstFrame(ctx context.Context, info *Info) error {
	f, err := info.openAgain()
	if err != nil {
		return err
	}
	var p struct {
		Frames []struct {
			SideData []probedSideData `json:"side_data_list"`
		} `json:"frames"`
	}
	err = t.ask(ctx, info.Path, f, info.limits, &p,
		"-select_streams", strconv.Itoa(info.StreamIndex), "-read_intervals", "%+#1",
		"-show_entries", "frame=side_data_list:frame_side_data="+hdrEntries)
	if ctx.Err() != nil {
		return err
	}
	if err == nil && len(p.Frames) > 0 {
		info.setLight(p.Frames[0].SideData)
	}
	return nil
}

// x265Light returns Mastering and Light as parameters of x265.
func x265Light(info Info) (mastering, light string) {
	if m := info.Mastering; m != (MasteringDisplay{}) {
		point := func(c [2]float64) string { return fmt.Sprintf("(%.0f,%.0f)", c[0]*50_000, c[1]*50_000) }
		mastering = fmt.Sprintf("master-display=G%sB%sR%sWP%sL(%.0f,%.0f)",
			point(m.Green), point(m.Blue), point(m.Red), point(m.White), m.Brightest*10_000, m.Darkest*10_000)
	}
	if l := info.Light; l != (ContentLight{}) {
		light = fmt.Sprintf("max-cll=%d,%d", l.Max, l.MaxAverage)
	}
	return mastering, light
}

// svtLight returns Mastering and Light as parameters of SVT-AV1.
func svtLight(info Info) (mastering, light string) {
	if m := info.Mastering; m != (MasteringDisplay{}) {
		point := func(c [2]float64) string { return fmt.Sprintf("(%.6f,%.6f)", c[0], c[1]) }
		mastering = fmt.Sprintf("mastering-display=G%sB%sR%sWP%sL(%.4f,%.6f)",
			point(m.Green), point(m.Blue), point(m.Red), point(m.White), m.Brightest, m.Darkest)
	}
	if l := info.Light; l != (ContentLight{}) {
		light = fmt.Sprintf("content-light=%d,%d", l.Max, l.MaxAverage)
	}
	return mastering, light
}
