// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package track follows people through the frames of a video, so that a head stays masked in frames in which it was not
// found or that were not analyzed.
//
// Frames are pushed in order; some of them were analyzed, that is, searched for people. The result of a frame is
// returned once the frames in the look-ahead window after it are known. The tracker makes a single pass over the video,
// and the window bounds its memory.
//
//  1. Association. The heads in an analyzed frame are located (mask.LocateHeads) and assigned to tracks. Each track
//     predicts its head at constant velocity; the assignment minimizes the total cost of head distance, box overlap and
//     change in size, as in SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016), with two differences.
//     There is no Kalman filter, because positions are known from both sides. And the gate is wide, because a wrong
//     link costs little here: between the ends of a doubtful link, both are held as if it did not exist, and briefly
//     beyond them if the camera has moved. A track can be continued for as long as it is held.
//  2. Settling guesses. If neither keypoints nor a face show the head, it is guessed from the box, and the guess may be
//     several times too large. Sure sightings up to half a second before and after settle it: if they show the same box
//     and lie within the guess, the head is masked where they imply it is, with a margin. Otherwise the guess stays.
//  3. Smoothing without lag. The center of a sighting moves halfway to the line through the sightings before and after
//     it, its size grows to that of its neighbors, and the result is united with the original, so smoothing never
//     uncovers a part of a sure head.
//  4. Filling in. Between two sightings, the head is interpolated. Before the first and after the last one, it is held:
//     moved on at a damped velocity and, for the first 0.3 s, united with its last position. The farther in time from a
//     sighting, the larger the mask, by up to half the head's size. Tracks without a sure sighting are held for a
//     shorter time, and so are second boxes of a person, whose keypoints lie on another person's head.
//  5. Closing gaps. If a head is masked in the frames before and after one but not in it, because different tracks mask
//     it, the gap is filled, so that no mask blinks.
//  6. Pillars. A track is not a person if, for a second before and after a frame, it does not move, shows no face, and
//     its best keypoints from face to hips score far below those of people. Only figures from head to foot and small
//     boxes are judged: people close to the camera may show no keypoints.
//  7. Cuts. A cut ends every track. The frames on either side of a cut are often blended, so tracks reach one frame
//     across it, if that frame may show both scenes.
//
// A frame is masked whole if its analysis failed or found a head that may be anywhere; if it was not analyzed, and one
// of these applies to the nearest analyzed frame before or after it; if no frame near it was analyzed; or if both
// adjacent frames are masked whole.
package track
