// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Pixels says how the frames of two files differ.
type Pixels struct {
	// Compared is the number of pairs of frames, and Masked the number of those in which something is masked.
	Compared int `json:"compared"`
	Masked   int `json:"masked"`
	// MaskedShare is the fraction of all pixels that is masked, 0 to 1; LargestShare is that fraction for the most masked
	// frame, which is shown at LargestAt.
	MaskedShare  float64       `json:"masked_share"`
	LargestShare float64       `json:"largest_share"`
	LargestAt    time.Duration `json:"largest_at_ns"`
	// Identical is the number of frames in which every pixel outside of masks is the same.
	Identical int `json:"identical"`
	// Luma and Chroma are what the pixels outside of masks lost. Chroma is nil if there is none, or its resolution
	// differs.
	Luma   Loss  `json:"luma"`
	Chroma *Loss `json:"chroma,omitempty"`
}

// Loss is a peak signal-to-noise ratio in dB: of all frames together, and of the worst one. maxPSNR means no loss.
type Loss struct {
	Mean    float64       `json:"mean_db"`
	Worst   float64       `json:"worst_db"`
	WorstAt time.Duration `json:"worst_at_ns"`
}

// maxPSNR is more than the PSNR of any loss in frames of 16384 x 16384 pixels.
const maxPSNR = 150

// blockSide is the side in pixels of the blocks that count as masked or not.
const blockSide = 8

// Masked blocks are recognized by their mean squared error (of luma, or of chroma if that is larger), on the scale of 8
// bits. An encoder's loss is spread over the frame: with libx264 on the videos of make footage, a frame's worst block
// loses about 10 to 40 times the mean, whether the mean is 2 (CRF 23) or 50 (CRF 40). Black on a face loses 10,000 and
// more. So a block is masked if it loses more than seedRatio times the mean of the unmasked blocks. Neighbors that lose
// more than edgeRatio times the mean belong to the mask, too: its edge, and parts of a head that look like the mask.
// Floors and caps are for frames that lose almost nothing and for those that are mostly masked. In videos without
// masks, this finds no masked pixels up to CRF 30, 0.02 % at CRF 40, and 3.4 % at CRF 51. If the encoder is lossless,
// each block that differs and touches a mask belongs to the mask, so that everything else must be identical.
const (
	seedRatio, seedFloor, seedCap = 40, 100, 2000
	edgeRatio, edgeFloor, edgeCap = 12, 30, 600
	losslessSeed                  = 16
)

// pixelComparison accumulates over frames, and holds only the blocks of one frame in memory.
type pixelComparison struct {
	src, out PixelFormat
	lossless bool
	chroma   bool
	toShared [2]uint // by how many bits samples of each file are shifted to the smaller depth
	depth    int     // the smaller depth of the two files

	columns, rows int
	errors        []float64 // mean squared, of each block, on the scale of 8 bits
	masked        []bool
	queue         []int

	sums         [2]squares // luma, chroma
	pixels       int64
	maskedPixels int64
	result       Pixels // without the shares and losses, which end computes
}

// squares are squared errors of many frames.
type squares struct {
	sum     float64
	n       int64
	worst   float64 // the largest mean of a frame
	worstAt time.Duration
}

func newPixelComparison(src, out Info) *pixelComparison {
	c := &pixelComparison{src: src.Format, out: out.Format, lossless: out.Codec == "ffv1" && src.Format == out.Format}
	c.depth = min(src.Format.Depth, out.Format.Depth)
	c.toShared = [2]uint{uint(src.Format.Depth - c.depth), uint(out.Format.Depth - c.depth)}
	c.chroma = src.Format.Planes == 3 && out.Format.Planes == 3 && src.Format.ChromaShiftX == out.Format.ChromaShiftX &&
		src.Format.ChromaShiftY == out.Format.ChromaShiftY
	c.columns, c.rows = (src.Width+blockSide-1)/blockSide, (src.Height+blockSide-1)/blockSide
	n := c.columns * c.rows
	c.errors, c.masked = make([]float64, n), make([]bool, n)
	return c
}

// add compares the two frames of a pair. If their sizes differ there is nothing to compare.
func (c *pixelComparison) add(a, b *Frame) {
	if a.Width != b.Width || a.Height != b.Height {
		return
	}
	planes := 1
	if c.chroma {
		planes = 3
	}
	var blocks [3][]uint64
	for i := range planes {
		blocks[i] = c.blockErrors(i, a, b)
	}
	c.setErrors(blocks[:planes], a)
	c.findMasks()
	c.count(blocks[:planes], a)
}

// blockErrors returns the sums of squared errors of a plane's blocks, which cover the same area as luma's.
func (c *pixelComparison) blockErrors(plane int, a, b *Frame) []uint64 {
	sums := make([]uint64, c.columns*c.rows)
	shiftX, shiftY := 0, 0
	if plane > 0 {
		shiftX, shiftY = a.Format.ChromaShiftX, a.Format.ChromaShiftY
	}
	p, q := &a.Planes[plane], &b.Planes[plane]
	wide := blockSide >> shiftX
	for y := range p.Height {
		row := sums[(y<<shiftY)/blockSide*c.columns:][:c.columns]
		if a.Format.Depth == 8 && b.Format.Depth == 8 {
			u, v := p.Data[y*p.Width:][:p.Width], q.Data[y*p.Width:][:p.Width]
			for x := 0; x < p.Width; x += wide {
				end := min(x+wide, p.Width)
				row[x/wide] += squaredBytes(u[x:end], v[x:end])
			}
			continue
		}
		for x := range p.Width {
			d := int64(c.sample(p, a.Format, 0, y*p.Width+x)) - int64(c.sample(q, b.Format, 1, y*p.Width+x))
			row[x/wide] += uint64(d * d)
		}
	}
	return sums
}

func squaredBytes(u, v []byte) (sum uint64) {
	for i, s := range u {
		d := int(s) - int(v[i])
		sum += uint64(d * d)
	}
	return sum
}

// sample reads a sample, rounded to the smaller depth of the two files.
func (c *pixelComparison) sample(p *Plane, f PixelFormat, file, i int) uint32 {
	var s uint32
	if f.BytesPerSample() == 1 {
		s = uint32(p.Data[i])
	} else {
		s = uint32(binary.LittleEndian.Uint16(p.Data[2*i:]))
	}
	if shift := c.toShared[file]; shift > 0 {
		s = min((s+1<<(shift-1))>>shift, 1<<c.depth-1)
	}
	return s
}

// samples is the number of samples of a plane in a block.
func (c *pixelComparison) samples(f *Frame, plane, column, row int) int {
	shiftX, shiftY := 0, 0
	if plane > 0 {
		shiftX, shiftY = f.Format.ChromaShiftX, f.Format.ChromaShiftY
	}
	w, h := blockSide>>shiftX, blockSide>>shiftY
	p := &f.Planes[plane]
	return min(w, p.Width-column*w) * min(h, p.Height-row*h)
}

// setErrors sets the mean squared error of each block.
func (c *pixelComparison) setErrors(blocks [][]uint64, f *Frame) {
	scale := 1 / float64(int64(1)<<(2*(c.depth-8)))
	for i := range c.errors {
		c.errors[i] = 0
		for plane, sums := range blocks {
			if n := c.samples(f, plane, i%c.columns, i/c.columns); n > 0 {
				c.errors[i] = max(c.errors[i], scale*float64(sums[i])/float64(n))
			}
		}
	}
}

// findMasks marks the blocks that are masked: seeds, and the blocks connected to them.
func (c *pixelComparison) findMasks() {
	seed, edge := float64(losslessSeed), 0.0
	if !c.lossless {
		mean := c.usualLoss()
		seed = min(max(seedFloor, seedRatio*mean), seedCap)
		edge = min(max(edgeFloor, edgeRatio*mean), edgeCap)
	}
	c.queue = c.queue[:0]
	for i, e := range c.errors {
		if c.masked[i] = e > seed; c.masked[i] {
			c.queue = append(c.queue, i)
		}
	}
	for len(c.queue) > 0 {
		i := c.queue[len(c.queue)-1]
		c.queue = c.queue[:len(c.queue)-1]
		for y := max(0, i/c.columns-1); y <= min(c.rows-1, i/c.columns+1); y++ {
			for x := max(0, i%c.columns-1); x <= min(c.columns-1, i%c.columns+1); x++ {
				if j := y*c.columns + x; !c.masked[j] && c.errors[j] > edge {
					c.masked[j] = true
					c.queue = append(c.queue, j)
				}
			}
		}
	}
}

// usualLoss is the mean error of the blocks that are not seeds, found by repeatedly leaving out blocks above the
// threshold.
func (c *pixelComparison) usualLoss() float64 {
	mean, most := 0.0, float64(seedCap)
	for range 8 {
		sum, n := 0.0, 0
		for _, e := range c.errors {
			if e <= most {
				sum += e
				n++
			}
		}
		mean = sum / float64(max(1, n))
		less := max(seedFloor, seedRatio*mean)
		if less >= most {
			break
		}
		most = less
	}
	return mean
}

// count adds a frame to the result.
func (c *pixelComparison) count(blocks [][]uint64, f *Frame) {
	result := &c.result
	result.Compared++
	identical := true
	var maskedPixels int64
	for kind, planes := range [][][]uint64{blocks[:1], blocks[1:]} {
		var sum uint64
		var n int64
		for plane, sums := range planes {
			plane += kind
			for i, s := range sums {
				samples := int64(c.samples(f, plane, i%c.columns, i/c.columns))
				if c.masked[i] {
					if plane == 0 {
						maskedPixels += samples
					}
					continue
				}
				sum += s
				n += max(0, samples)
			}
		}
		identical = identical && sum == 0
		c.sums[kind].add(float64(sum), n, f.Time)
	}
	pixels := int64(f.Width) * int64(f.Height)
	c.pixels += pixels
	c.maskedPixels += maskedPixels
	if maskedPixels > 0 {
		result.Masked++
	}
	if share := float64(maskedPixels) / float64(pixels); share > result.LargestShare {
		result.LargestShare, result.LargestAt = share, f.Time
	}
	if identical && c.depth == c.src.Depth && c.depth == c.out.Depth {
		result.Identical++
	}
}

func (s *squares) add(sum float64, n int64, at time.Duration) {
	if n == 0 {
		return
	}
	s.sum += sum
	s.n += n
	if mean := sum / float64(n); mean > s.worst {
		s.worst, s.worstAt = mean, at
	}
}

func (s *squares) loss(depth int) Loss {
	return Loss{Mean: psnrOf(s.sum/float64(max(1, s.n)), depth), Worst: psnrOf(s.worst, depth), WorstAt: s.worstAt}
}

func psnrOf(meanSquare float64, depth int) float64 {
	peak := float64(int64(1)<<depth - 1)
	return min(10*math.Log10(peak*peak/meanSquare), maxPSNR)
}

// end completes the result.
func (c *pixelComparison) end() Pixels {
	p := c.result
	p.MaskedShare = float64(c.maskedPixels) / float64(max(1, c.pixels))
	p.Luma = c.sums[0].loss(c.depth)
	if c.chroma {
		chroma := c.sums[1].loss(c.depth)
		p.Chroma = &chroma
	}
	return p
}

// poorPSNR is a PSNR in dB so low that no encoder's quality explains it.
const poorPSNR = 20

// comparePixels adds the masks, and what the pixels outside of them lost.
func (c *Comparison) comparePixels(compared *pixelComparison) {
	c.Pixels = compared.end()
	p, lossless := c.Pixels, compared.lossless
	if p.Compared == 0 {
		c.add("pixels", "", "no two frames can be compared", Differs)
		return
	}
	masked := fmt.Sprintf("in %d of %d frames, %.2f %% of all pixels", p.Masked, p.Compared, 100*p.MaskedShare)
	if p.Masked > 0 {
		masked += fmt.Sprintf(", at most %.1f %% of a frame, at %s", 100*p.LargestShare, seconds(p.LargestAt))
	}
	c.add("masks", "", masked, sameOr(Expected, p.Masked == 0))
	c.addLoss("luma outside of masks", p.Luma, lossless)
	if p.Chroma != nil {
		c.addLoss("chroma outside of masks", *p.Chroma, lossless)
	}
}

func (c *Comparison) addLoss(what string, l Loss, lossless bool) {
	text, v := fmt.Sprintf("PSNR %.1f dB, worst frame %.1f dB at %s", l.Mean, l.Worst, seconds(l.WorstAt)), Expected
	switch {
	case l.Worst == maxPSNR:
		text, v = "identical", Same
	case lossless || l.Worst < poorPSNR:
		v = Differs
	}
	c.add(what, "", text, v)
}
