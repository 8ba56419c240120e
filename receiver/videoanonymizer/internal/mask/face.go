// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// A face detector's box reaches from the brow to the chin and from temple to temple. These are the half axes of the
// head's ellipse, and how far its center lies above the box's center, relative to the box's longer side, to include
// hair or hat, chin and ears, and the box's error.
const (
	faceRX   = 0.85
	faceRY   = 1.05
	faceRise = 0.2
)

// LocateFace returns the head around a face whose person may be unknown, with OriginFace. The frame's size is in
// pixels.
func LocateFace(face vision.Face, frameWidth, frameHeight int) Head {
	b := face.Box
	w, h := float64(b.Width()), float64(b.Height())
	center := point{float64(b.X0+b.X1) / 2, float64(b.Y0+b.Y1) / 2}
	up := point{0, -1}
	left := point{float64(face.LeftEye.X), float64(face.LeftEye.Y)}
	right := point{float64(face.RightEye.X), float64(face.RightEye.Y)}
	// The person's right eye appears on the left. From the side, the eyes are too close for an angle.
	if across := left.sub(right); across.length() > 0.2*w {
		up = across.turned().unit()
	}
	side := math.Max(w, h)
	head := ellipse(center.add(up.times(faceRise*side)), up, faceRX*side, faceRY*side)
	head.Score, head.Origin = face.Score, OriginFace
	f := figure{width: float64(frameWidth), height: float64(frameHeight)}
	return head.Grow(f.margin())
}

const (
	// A guess is the part of a person's box where a head may be. A face in it shows the head if its score is at least
	// sureFace and its longer side at least faceOfGuess of the guess's, so that the guess is no larger than a bust.
	// Otherwise the face may be someone else's, or a hand.
	sureFace    = 0.8
	faceOfGuess = 0.2
	// guessedFace enlarges the head around such a face.
	guessedFace = 1.2
	// sureHead is the minimum score at which a head located by keypoints need not grow for a face that it covers.
	sureHead = 0.4
)

// JoinFaces matches the faces of a frame to its heads. It enlarges, in place, each head that contains a face so that it
// covers the face's head, unless the head is sure and covers the face. A guess that contains a sure face is replaced by
// the face's head. It returns the heads of the remaining faces, whose people were not found, and for each of the given
// heads whether it has a face.
func JoinFaces(heads []Head, faces []vision.Face, frameWidth, frameHeight int, opts GeometryOptions) (
	lone []Head, hasFace []bool,
) {
	hasFace = make([]bool, len(heads))
	for _, face := range faces {
		head := LocateFace(face, frameWidth, frameHeight)
		if !head.Sane() {
			lone = append(lone, FrameHead(frameWidth, frameHeight))
			continue
		}
		owner := ownerOf(face, head, heads)
		if owner < 0 {
			lone = append(lone, head)
			continue
		}
		hasFace[owner] = true
		switch {
		case opts.OnUncertain != WholePerson && shows(face, heads[owner]):
			head.RX, head.RY = head.RX*guessedFace, head.RY*guessedFace
			heads[owner] = head
		case heads[owner].Origin == OriginPose && heads[owner].Score >= sureHead && heads[owner].containsBox(face.Box):
		default:
			heads[owner] = Union(heads[owner], head)
		}
	}
	return lone, hasFace
}

// ownerOf returns the index of the head that contains the face and is nearest to the head around it, or -1. A guess is
// the owner only if no other head contains the face.
func ownerOf(face vision.Face, around Head, heads []Head) int {
	x, y := face.Box.Center()
	owner, nearest, guessed := -1, float32(math.Inf(1)), true
	for i, h := range heads {
		guess := h.Origin == OriginBox
		if !h.Sane() || !h.Contains(x, y) || guess && !guessed {
			continue
		}
		d := (h.X-around.X)*(h.X-around.X) + (h.Y-around.Y)*(h.Y-around.Y)
		if d < nearest || guessed && !guess {
			owner, nearest, guessed = i, d, guess
		}
	}
	return owner
}

// shows reports whether the face shows where a guessed head is.
func shows(face vision.Face, guess Head) bool {
	b := guess.Bounds()
	return guess.Origin == OriginBox && face.Score >= sureFace &&
		max(face.Box.Width(), face.Box.Height()) >= faceOfGuess*max(b.Width(), b.Height())
}

// PoseEvidence returns the score 0..1 of the keypoint from face to hips that best shows a person, even if it is a
// neighbor. It is 1 without a pose.
func PoseEvidence(person vision.Person) (score float32) {
	if person.Pose == nil {
		return 1
	}
	for _, k := range person.Pose[:vision.RightHip+1] {
		if !(k.Score <= score) {
			score = k.Score
		}
	}
	return score
}

// PoseConfirms reports whether the pose confirms that the box shows a person: enough keypoints of the face or the trunk
// score well and lie where this person's keypoints can.
func PoseConfirms(person vision.Person, frameWidth, frameHeight int) bool {
	if person.Pose == nil {
		return false
	}
	f := newFigure(person, frameWidth, frameHeight, confirmingScore)
	if !f.valid {
		return false
	}
	face, trunk := 0, 0
	for k := vision.Nose; k <= vision.RightEar; k++ {
		if f.trusted[k] {
			face++
		}
	}
	for _, k := range []int{vision.LeftShoulder, vision.RightShoulder, vision.LeftHip, vision.RightHip} {
		if f.trusted[k] {
			trunk++
		}
	}
	return face >= 3 || trunk >= 3 || face >= 2 && trunk >= 2
}

// confirmingScore is the minimum confidence at which a keypoint confirms a person: twice the one at which a keypoint is
// trusted. On the clips of `make recall`, 0.3, 0.4, 0.5 and 0.6 cover the same heads, and mask between 1.4 and 1.3 % of
// a frame outside people.
const confirmingScore = 0.4
