"""The words of the demo's posts: invented sentences, and links in the spellings that authors use.

In a link, `{n}` stands for a number, `{hex}` for 24 hexadecimal digits, `{token}` for 7 and `{code}` for
11 letters and digits, among them a digit, a small and a capital letter.
"""

from typing import Final

SENTENCES: Final[tuple[str, ...]] = (
    "早上六点起床，泡一壶桂花乌龙，阳台的风还是凉的。",
    "今天的通勤搭配是米色风衣加深蓝直筒裤，简单又精神。",
    "这家小馆子藏在巷子最里面，招牌是酸汤牛肉和手擀面。",
    "周末带孩子去了湿地公园，看见两只白鹭站在浅水里。",
    "换季皮肤容易干，我会在洗脸后三分钟内把面霜涂上。",
    "烤箱预热一百八十度，中层烤二十五分钟，表面金黄就好。",
    "新租的房子朝北，我用暖色的灯和木头架子把它收拾得很舒服。",
    "跑步半年，配速从七分半到六分，膝盖一点也不疼了。",
    "猫咪打完疫苗蔫了一天，第二天又在沙发上飞檐走壁。",
    "背单词不要贪多，每天三十个，隔天一定要复习。",
    "露营的夜里有一点冷，好在朋友多带了一条羊毛毯。",
    "手账本写到第四本，纸张厚实，钢笔不洇。",
    "婆婆教我包粽子，糯米要先泡一夜，红豆不用。",
    "面料偏薄，夏天穿刚刚好，冬天要在里面加一件打底。",
    "我身高一米六三，体重五十公斤，穿小码很合身。",
    "色号选的是豆沙，黄皮上嘴显白，素颜也能涂。",
    "面试前一晚把简历读三遍，想好每个项目里自己做了什么。",
    "山顶的日出等了四十分钟，云海翻过来的时候大家都不说话了。",
    "空气炸锅做鸡翅不用放油，翻一次面，一共十八分钟。",
    "小朋友的绘本我都在图书馆借，一次可以借十本。",
    "这个品牌的尺码偏大，平时穿三十八的可以选三十七。",
    "阳台种的番茄终于红了，一共收了五个，甜得很。",
    "工作五年，第一次认真写年度总结，发现自己走了很远。",
    "下雨天在家看老电影，配一碗热汤面，心里很安静。",
    "木地板每个月擦一次蜡，两年了还像新的一样。",
    "地铁口的阿姨卖栀子花，两块钱一串，香了一路。",
    "去海边一定要带防晒和帽子，上次晒伤疼了三天。",
    "收纳的秘诀只有一个：东西少一点，再少一点。",
    "咖啡豆是朋友从云南寄来的，酸度低，有坚果的香气。",
    "健身教练说先把深蹲的姿势练对，重量慢慢加。",
    "妈妈的生日蛋糕是我自己做的，奶油抹得不平，但是她很开心。",
    "这条徒步路线全程十一公里，新手走慢一点也没问题。",
    "护眼灯用了一个月，晚上看书眼睛没那么酸了。",
    "古镇的早晨没有游客，石板路上只有卖豆腐的声音。",
    "毛衣不要挂着晾，平铺在网上，干了也不变形。",
    "写代码写累了就去楼下走一圈，回来常常就想通了。",
)

OPENINGS: Final[tuple[str, ...]] = ("姐妹们，", "说实话，", "分享一下：", "记录今天。", "有人问，", "", "", "")

CLOSINGS: Final[tuple[str, ...]] = ("大家周末愉快！", "有问题评论区见～", "明天继续。", "🌿🌿", "#日常#", "", "", "")

TITLES: Final[tuple[str, ...]] = (
    "一个人的周末",
    "通勤一周穿搭",
    "新手烘焙笔记",
    "小户型收纳",
    "带娃去湿地",
    "跑步第一百天",
    "我的晨间习惯",
    "云南咖啡豆测评",
    "北向小屋改造",
    "老电影清单",
    "阳台种菜日记",
    "换季护肤",
)

FRAMES: Final[tuple[str, ...]] = (
    "链接在这里{link}，拍之前先问问客服尺码。",
    "想要同款的看{link}不谢",
    "我买的是这一家：{link}（包邮）。",
    "同款戳{link} 记得领券",
    "店铺地址{link}，老板人很好！",
    "【秋冬新款】{link}点击链接，再选择浏览器打开",
    "放个链接\n{link}\n需要的自取",
    "好多人要地址，{link}；卖完就没有了。",
)

CODE_FRAMES: Final[tuple[str, ...]] = (
    "复制这段话{link}打开手机淘宝就能看到",
    "淘口令{link}，复制后打开淘宝",
    "復·制这段描述{link}后打开👉手机淘宝👈",
)

OURS: Final[tuple[str, ...]] = (
    "https://item.taobao.com/item.htm?id={n}",
    "http://item.taobao.com/item.htm?spm=a230r.1.14.16&id={n}&ns=1#detail",
    "item.taobao.com/item.htm?id={n}",
    "//a.m.taobao.com/i{n}.htm",
    "https://ＩＴＥＭ．ＴＡＯＢＡＯ．ＣＯＭ/item.htm?id={n}",
    "https://h5.m.taobao.com/awp/core/detail.htm?id={n}",
    "https://shop{n}.taobao.com/",
    "mianbao-xiaowu.taobao.com",
    "https://uland.taobao.com/coupon/edetail?activityId={hex}&itemId={n}",
    "https://s.click.taobao.com/t?e=m%3D2%26s%3D{hex}",
    "https://s.taobao.com/search?q=fengyi&s={n}",
    "https://detail.tmall.com/item.htm?id={n}&skuId={n}",
    "HTTPS://DETAIL.TMALL.COM/item.htm?id={n}",
    "detail.m.tmall.com/item.htm?id={n}",
    "https://m.tb.cn/h.{token}",
    "https://m.tb.cn/h.{token}?sm={token}",
    "m.tb.cn/h.{token}",
    "m。tb。cn/h.{token}",
    "taobao://item.taobao.com/item.htm?id={n}",
    "https://www.xiaohongshu.com/goods-detail/{hex}",
    "https://www.xiaohongshu.com/goods-detail/{hex}?xsec_source=app_share",
    "https://mall.xiaohongshu.com/goods/{hex}",
    "https://www.xiaohongshu.com/vendor/{hex}",
    "xhsdiscover://goods_detail/{hex}",
)

CODES: Final[tuple[str, ...]] = ("￥{code}￥", "¥{code}¥", "${code}$", "€{code}€", "￥{code}$", "₤{code}₤")

OTHER_SHOPS: Final[tuple[str, ...]] = (
    "https://item.jd.com/{n}.html",
    "https://item.m.jd.com/product/{n}.html",
    "https://u.jd.com/{token}",
    "https://mobile.yangkeduo.com/goods.html?goods_id={n}",
    "https://p.pinduoduo.com/{token}",
    "https://shop.example.com/goods/{n}",
    "https://www.bilibili.com/video/BV{code}",
    "https://item.taobao.com.youhui.example/item.htm?id={n}",
)

LIVE_ROOMS: Final[tuple[str, ...]] = (
    "https://huodong.m.taobao.com/act/talent/live.html?id={n}",
    "https://h5.m.taobao.com/taolive/video.html?id={n}",
    "https://www.xiaohongshu.com/livestream/{n}",
    "https://redlive.xiaohongshu.com/room/{n}",
)

AFFILIATED: Final[tuple[str, ...]] = (
    "https://2.taobao.com/item.htm?id={n}",
    "https://detail.1688.com/offer/{n}.html",
    "https://www.goofish.com/item?id={n}",
    "https://traveldetail.fliggy.com/item.htm?id={n}",
)

UNCERTAIN: Final[tuple[str, ...]] = ("http://xhslink.com/{token}", "https://t.cn/{token}")
