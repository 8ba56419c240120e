// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// perceptual is ffmpeg's name of the transfer that HDR10 uses.
const perceptual = "smpte2084"

// MasteringDisplay is the screen that an HDR10 video was made on (SMPTE ST 2086); the zero value is none.
type MasteringDisplay struct {
	// Red, Green, Blue and White are x and y in the CIE 1931 diagram, 0 to 1.
	Red, Green, Blue, White [2]float64
	// Darkest and Brightest are what it shows, in cd/m².
	Darkest, Brightest float64
}

// ContentLight is how bright an HDR10 video gets, in cd/m² (CTA-861.3); 0 where unknown.
type ContentLight struct {
	// Most is that of the brightest pixel, MostAverage that of the brightest frame.
	Most, MostAverage int
}

// probedSideData is what ffprobe says beside a stream or a frame.
type probedSideData struct {
	Rotation    float64 `json:"rotation"`
	RedX        string  `json:"red_x"`
	RedY        string  `json:"red_y"`
	GreenX      string  `json:"green_x"`
	GreenY      string  `json:"green_y"`
	BlueX       string  `json:"blue_x"`
	BlueY       string  `json:"blue_y"`
	WhiteX      string  `json:"white_point_x"`
	WhiteY      string  `json:"white_point_y"`
	Darkest     string  `json:"min_luminance"`
	Brightest   string  `json:"max_luminance"`
	Most        int64   `json:"max_content"`
	MostAverage int64   `json:"max_average"`
}

const hdrEntries = "red_x,red_y,green_x,green_y,blue_x,blue_y,white_point_x,white_point_y,min_luminance,max_luminance,max_content,max_average"

// light takes what is not known yet.
func (i *Info) light(sideData []probedSideData) {
	for _, d := range sideData {
		if i.Mastering == (MasteringDisplay{}) {
			i.Mastering = d.mastering()
		}
		if i.Light == (ContentLight{}) && d.Most >= 0 && d.Most <= math.MaxUint16 && d.MostAverage >= 0 && d.MostAverage <= math.MaxUint16 {
			i.Light = ContentLight{Most: int(d.Most), MostAverage: int(d.MostAverage)}
		}
	}
}

// mastering returns a whole description in its bounds, or none.
func (d probedSideData) mastering() MasteringDisplay {
	var m MasteringDisplay
	for _, c := range []struct {
		to   *[2]float64
		x, y string
	}{{&m.Red, d.RedX, d.RedY}, {&m.Green, d.GreenX, d.GreenY}, {&m.Blue, d.BlueX, d.BlueY}, {&m.White, d.WhiteX, d.WhiteY}} {
		*c.to = [2]float64{rational(c.x).Float(), rational(c.y).Float()}
		if c.to[0] > 1 || c.to[1] > 1 || c.to[0] <= 0 || c.to[1] <= 0 {
			return MasteringDisplay{}
		}
	}
	m.Darkest, m.Brightest = rational(d.Darkest).Float(), rational(d.Brightest).Float()
	if m.Brightest <= m.Darkest || m.Brightest > 10_000 { // as far as the transfer reaches
		return MasteringDisplay{}
	}
	return m
}

// firstLight looks for what a container does not say in the first frame, where streams carry it. A frame that does not
// decode says nothing here: that is for Open to find.
func (t Tools) firstLight(ctx context.Context, info *Info) error {
	f, id, err := openSource(info.Path)
	if err != nil {
		return err
	}
	if id != info.id {
		_ = f.Close()
		return fileError(info.Path, ErrVanished, "it changed while it was looked at")
	}
	var p struct {
		Frames []struct {
			SideData []probedSideData `json:"side_data_list"`
		} `json:"frames"`
	}
	err = t.ask(ctx, info.Path, f, info.limits, &p, "-select_streams", strconv.Itoa(info.StreamIndex), "-read_intervals", "%+#1",
		"-show_entries", "frame=side_data_list:frame_side_data="+hdrEntries)
	if ctx.Err() != nil {
		return err
	}
	if err == nil && len(p.Frames) > 0 { // a first frame that cannot be read is the decoder's to tell of
		info.light(p.Frames[0].SideData)
	}
	return nil
}

// x265Light returns both in x265's words and units.
func x265Light(info Info) (mastering, light string) {
	if m := info.Mastering; m != (MasteringDisplay{}) {
		point := func(c [2]float64) string { return fmt.Sprintf("(%.0f,%.0f)", c[0]*50_000, c[1]*50_000) }
		mastering = fmt.Sprintf("master-display=G%sB%sR%sWP%sL(%.0f,%.0f)",
			point(m.Green), point(m.Blue), point(m.Red), point(m.White), m.Brightest*10_000, m.Darkest*10_000)
	}
	if l := info.Light; l != (ContentLight{}) {
		light = fmt.Sprintf("max-cll=%d,%d", l.Most, l.MostAverage)
	}
	return mastering, light
}

// svtLight returns both in SVT-AV1's.
func svtLight(info Info) (mastering, light string) {
	if m := info.Mastering; m != (MasteringDisplay{}) {
		point := func(c [2]float64) string { return fmt.Sprintf("(%.6f,%.6f)", c[0], c[1]) }
		mastering = fmt.Sprintf("mastering-display=G%sB%sR%sWP%sL(%.4f,%.6f)",
			point(m.Green), point(m.Blue), point(m.Red), point(m.White), m.Brightest, m.Darkest)
	}
	if l := info.Light; l != (ContentLight{}) {
		light = fmt.Sprintf("content-light=%d,%d", l.Most, l.MostAverage)
	}
	return mastering, light
}
