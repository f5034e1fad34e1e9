"""Style transfer: "Image Style Transfer Using Convolutional Neural Networks", Leon A. Gatys, Alexander S.
Ecker and Matthias Bethge, CVPR 2016, https://openaccess.thecvf.com/content_cvpr_2016/html/
Gatys_Image_Style_Transfer_CVPR_2016_paper.html

A picture is changed by gradient descent on its pixels until a trained network's deep maps are those of the
content, and the Gram matrices of several maps those of the style.

Differs from the paper, and each can be had as the paper has it by the setting in brackets:
every loss is divided by the mean square of its own target, so that the same weights serve any network
(`scaling`); sizes grow from coarse to fine (`smallest`); Adam on pixels kept within 0..1 instead of L-BFGS
(`optimizer`); the picture shown is a running mean of the last iterates (`average`); a small weight on total
variation (`variation`); the first convolution repeats the border's pixels instead of zeros (`border`); max
pooling, as the networks were trained, where the paper prefers average pooling (`pooling`). The start is the
content, as in the paper's figures of section 4 (`start`). Not as in the paper at any setting: the weights of
the networks are not rescaled to a mean activation of 1.
"""
