// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// planes are the components of a JPEG as they are coded.
type planes struct {
	width, height int // in pixels
	components    []component
	quant         [4][64]uint16 // as jpegHeader.quant
}

// component is a plane of samples. h and v are how many of its blocks an MCU has across and down.
type component struct {
	data          []byte // rows without padding
	width, height int
	h, v          int
	table         uint8
}

// unzig maps positions in zigzag order to positions in row order (T.81, figure A.6).
var unzig = [64]int{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55,
	62, 63,
}

// huffmanSpec is a table as listed in T.81, annex K.3.3: the number of codes of each length from 1 on, and their
// values.
type huffmanSpec struct {
	counts [16]byte
	values []byte
}

// huffmanSpecs are the tables of annex K, which can code any 8-bit picture: DC and AC of luma, then of chroma.
var huffmanSpecs = [4]huffmanSpec{
	{
		[16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
	},
	{
		[16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
		[]byte{
			0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
			0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
			0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
			0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
			0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
			0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
			0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
			0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
			0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
			0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
			0xf9, 0xfa,
		},
	},
	{
		[16]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
		[]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
	},
	{
		[16]byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
		[]byte{
			0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
			0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
			0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
			0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
			0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
			0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
			0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
			0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
			0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
			0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
			0xf9, 0xfa,
		},
	},
}

// quantSpecs are the quantization tables of T.81, annex K.1, for luma and chroma, in row order.
var quantSpecs = [2][64]uint16{
	{
		16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
		87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
		72, 92, 95, 98, 112, 100, 103, 99,
	},
	{
		17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
	},
}

// quantTables returns the quantization tables for a quality of 1 to 100, on libjpeg's scale, which most programs use.
func quantTables(quality int) (tables [4][64]uint16) {
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for i, spec := range quantSpecs {
		for zig, at := range unzig {
			tables[i][zig] = uint16(max(1, min(255, (int(spec[at])*percent+50)/100)))
		}
	}
	return tables
}

// code is a Huffman code. length is its number of bits, 0 for no code.
type code struct {
	bits   uint32
	length uint8
}

// huffmanCodes are the codes of huffmanSpecs, by value (T.81, annex C).
var huffmanCodes = func() (codes [4][256]code) {
	for t, spec := range huffmanSpecs {
		next, k := uint32(0), 0
		for length, count := range spec.counts {
			for range count {
				codes[t][spec.values[k]] = code{next, uint8(length + 1)}
				next++
				k++
			}
			next <<= 1
		}
	}
	return codes
}()

// encodeJPEG encodes planes as a sequential JPEG with their quantization tables. If the planes were decoded from a JPEG
// with the same tables, the coefficients are the same again, except for rounding of the pixels.
func encodeJPEG(p *planes, h *header, tags []tag) ([]byte, error) {
	e := jpegEncoder{planes: p}
	e.out = append(make([]byte, 0, p.width*p.height/2), 0xff, markerSOI)
	e.headers(h, tags)
	for i := range p.components {
		e.components = append(e.components, newCoder(&p.components[i], &p.quant, min(i, 1)))
	}
	if e.err != nil {
		return nil, e.err
	}
	e.scan()
	return append(e.out, 0xff, markerEOI), nil
}

type jpegEncoder struct {
	*planes
	components []coder
	out        []byte
	held       uint64 // bits that are not in out yet
	holds      uint8  // number of held bits
	err        error
}

// segment appends a marker segment.
func (e *jpegEncoder) segment(marker byte, parts ...[]byte) {
	n := 2
	for _, part := range parts {
		n += len(part)
	}
	if n > math.MaxUint16 {
		e.err = fmt.Errorf("%w: a JPEG has no segments of %d bytes", media.ErrUnsupported, n)
		return
	}
	e.out = binary.BigEndian.AppendUint16(append(e.out, 0xff, marker), uint16(n))
	for _, part := range parts {
		e.out = append(e.out, part...)
	}
}

func (e *jpegEncoder) headers(h *header, tags []tag) {
	d := h.density
	if d.x == 0 || d.y == 0 || max(d.x, d.y) > math.MaxUint16 {
		d = density{0, 1, 1}
	}
	if exif(h.orientation, tags, h.adobeRGB, density{}) == nil { // EXIF 2.3, 4.5.4: APP1 replaces APP0
		e.segment(markerAPP0, []byte("JFIF\x00\x01\x02"), []byte{d.unit}, binary.BigEndian.AppendUint16(
			binary.BigEndian.AppendUint16(nil, uint16(d.x)), uint16(d.y)), []byte{0, 0})
	} else {
		e.segment(markerAPP1, []byte(exifHeader), exif(h.orientation, tags, h.adobeRGB, d))
	}
	const most = math.MaxUint16 - 2 - len(iccHeader) - 2
	parts := (len(h.profile) + most - 1) / most
	for i := range parts {
		e.segment(markerAPP2, []byte(iccHeader), []byte{byte(i + 1), byte(parts)},
			h.profile[i*most:min(len(h.profile), (i+1)*most)])
	}
	used := [4]bool{}
	for _, c := range e.planes.components {
		used[c.table] = true
	}
	for number, table := range e.quant {
		if used[number] {
			values := []byte{byte(number)}
			for _, q := range table {
				values = append(values, baselineQuant(q))
			}
			e.segment(markerDQT, values)
		}
	}
	frame := []byte{8, byte(e.height >> 8), byte(e.height), byte(e.width >> 8), byte(e.width),
		byte(len(e.planes.components))}
	scan := []byte{byte(len(e.planes.components))}
	for i, c := range e.planes.components {
		frame = append(frame, byte(i+1), byte(c.h<<4|c.v), c.table)
		scan = append(scan, byte(i+1), byte(min(i, 1)*0x11))
	}
	e.segment(markerSOF0, frame)
	for i, spec := range huffmanSpecs[:2*min(2, len(e.planes.components))] {
		e.segment(markerDHT, []byte{byte(i&1<<4 | i>>1)}, spec.counts[:], spec.values)
	}
	e.segment(markerSOS, append(scan, 0, 63, 0))
}

// baselineQuant returns a quantizer in 8 bits, as sequential JPEGs need it. A smaller quantizer loses less.
func baselineQuant(q uint16) byte { return byte(max(1, min(255, q))) }

// scan codes all MCUs. The MCUs of a single component have one block, whatever its sampling factors (T.81, A.2.2).
func (e *jpegEncoder) scan() {
	maxH, maxV := 1, 1
	for i := range e.components {
		c := &e.components[i]
		if len(e.components) == 1 {
			c.across, c.down = 1, 1
		}
		maxH, maxV = max(maxH, c.across), max(maxV, c.down)
	}
	for y := range (e.height + 8*maxV - 1) / (8 * maxV) {
		for x := range (e.width + 8*maxH - 1) / (8 * maxH) {
			for i := range e.components {
				c := &e.components[i]
				for v := range c.down {
					for h := range c.across {
						c.transform(8*(x*c.across+h), 8*(y*c.down+v))
						e.block(c)
					}
				}
			}
		}
	}
	if e.holds > 0 { // pad with ones
		e.bits(0x7f, 7)
	}
}

// block codes the coefficients of a block (T.81, F.1.2).
func (e *jpegEncoder) block(c *coder) {
	d := c.coefficients[0] - c.before
	c.before = c.coefficients[0]
	e.value(c.dc, 0, d)
	run := 0
	for _, v := range c.coefficients[1:] {
		if v == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			e.code(c.ac[0xf0])
		}
		e.value(c.ac, run, v)
		run = 0
	}
	if run > 0 {
		e.code(c.ac[0])
	}
}

// value codes the length of a run of zeros, and the value after it.
func (e *jpegEncoder) value(codes *[256]code, run int, v int32) {
	size := bits.Len32(uint32(max(v, -v)))
	e.code(codes[run<<4|size])
	if v < 0 {
		v--
	}
	e.bits(uint32(v)&(1<<size-1), uint8(size))
}

func (e *jpegEncoder) code(c code) { e.bits(c.bits, c.length) }

func (e *jpegEncoder) bits(v uint32, n uint8) {
	e.held = e.held<<n | uint64(v)
	e.holds += n
	for e.holds >= 8 {
		e.holds -= 8
		b := byte(e.held >> e.holds)
		e.out = append(e.out, b)
		if b == 0xff {
			e.out = append(e.out, 0)
		}
	}
	e.held &= 1<<e.holds - 1
}

// coder codes one component.
type coder struct {
	*component
	across, down int
	dc, ac       *[256]code
	scale        [64]float32 // of coefficients, in row order: what dct leaves to do, and the quantizer
	before       int32       // DC of the last block
	coefficients [64]int32   // in zigzag order
}

func newCoder(c *component, quant *[4][64]uint16, chroma int) coder {
	r := coder{component: c, across: c.h, down: c.v, dc: &huffmanCodes[2*chroma], ac: &huffmanCodes[2*chroma+1]}
	for zig, at := range unzig {
		scale := 8 * aan[at/8] * aan[at%8] * float64(baselineQuant(quant[c.table][zig]))
		r.scale[at] = float32(1 / scale)
	}
	return r
}

// aan are the factors by which dct scales its coefficients, along one dimension.
var aan = func() (s [8]float64) {
	s[0] = 1
	for i := 1; i < 8; i++ {
		s[i] = math.Cos(float64(i)*math.Pi/16) * math.Sqrt2
	}
	return s
}()

// transform computes the coefficients of the block at x, y. Beyond the edges of the plane, it repeats the last samples.
func (c *coder) transform(x, y int) {
	var b [64]float32
	for i := range 8 {
		row := c.data[min(y+i, c.height-1)*c.width:][:c.width]
		if x+8 <= c.width {
			for j, v := range row[x : x+8] {
				b[8*i+j] = float32(v) - 128
			}
			continue
		}
		for j := range 8 {
			b[8*i+j] = float32(row[min(x+j, c.width-1)]) - 128
		}
	}
	for i := range 8 {
		dct(&b, 8*i, 1)
	}
	for i := range 8 {
		dct(&b, i, 8)
	}
	for zig, at := range unzig {
		v := b[at] * c.scale[at]
		if v < 0 {
			c.coefficients[zig] = -int32(0.5 - v)
		} else {
			c.coefficients[zig] = int32(v + 0.5)
		}
	}
	// AC codes for 8-bit pictures end at 10 bits, which rounding may exceed.
	for i := 1; i < 64; i++ {
		c.coefficients[i] = max(-1023, min(1023, c.coefficients[i]))
	}
}

// dct transforms eight values in place, scaled by aan: Arai, Agui, Nakajima, "A fast DCT-SQ scheme for images" (1988),
// as in W. B. Pennebaker, J. L. Mitchell, "JPEG: Still Image Data Compression Standard", figure 4-8.
func dct(b *[64]float32, at, step int) {
	v := func(i int) *float32 { return &b[at+i*step] }
	s07, d07 := *v(0)+*v(7), *v(0)-*v(7)
	s16, d16 := *v(1)+*v(6), *v(1)-*v(6)
	s25, d25 := *v(2)+*v(5), *v(2)-*v(5)
	s34, d34 := *v(3)+*v(4), *v(3)-*v(4)

	a, d := s07+s34, s07-s34
	e, f := s16+s25, s16-s25
	*v(0), *v(4) = a+e, a-e
	z := (f + d) * math.Sqrt2 / 2
	*v(2), *v(6) = d+z, d-z

	a, e, f = d34+d25, d25+d16, d16+d07
	const c6 = 0.382683433 // cos(6 pi/16)
	z5 := (a - f) * c6
	z2 := 0.541196100*a + z5 // cos(2 pi/16) - c6
	z4 := 1.306562965*f + z5 // cos(2 pi/16) + c6
	z3 := e * math.Sqrt2 / 2
	z11, z13 := d07+z3, d07-z3
	*v(5), *v(3) = z13+z2, z13-z2
	*v(1), *v(7) = z11+z4, z11-z4
}
